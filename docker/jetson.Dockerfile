# moe3d_ros with the TensorRT that a base image brings: Jetsons with JetPack 6.
# Never built so far: see docker/README.md.
#
#   docker build -f docker/cpu.Dockerfile --build-arg BASE_IMAGE=... -t moe3d_ros:jetson-base .
#   docker build -f docker/jetson.Dockerfile -t moe3d_ros:jetson .
#
# The BASE_IMAGE of the first line holds ROS 2 Humble in /opt/ros and JetPack's python3-libnvinfer,
# for the Jetson Linux (L4T) of the host; there is no default, because it depends on that.
ARG BASE_IMAGE=moe3d_ros:jetson-base
FROM ${BASE_IMAGE}

# Looked up, not imported: while an image is built there may be no driver.
RUN /opt/moe3d/venv/bin/python -c 'import importlib.util, sys; \
        sys.exit(None if importlib.util.find_spec("tensorrt") else "The base image has no TensorRT")'

# Images of jetson-containers name an index that may be offline: --build-arg PIP_INDEX_URL=... .
ARG PIP_INDEX_URL
ARG CUDA_PYTHON="cuda-python==12.6.*"
COPY requirements/gpu.txt /opt/moe3d/requirements/
RUN /opt/moe3d/venv/bin/pip install --no-cache-dir \
        -r /opt/moe3d/requirements/gpu.txt "${CUDA_PYTHON}"

# What NVIDIA's container runtime lends of the host's driver.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=all
