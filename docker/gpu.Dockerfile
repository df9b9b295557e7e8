# moe3d_ros with TensorRT from pip: desktop and server GPUs, Jetsons with JetPack 7.2 or later.
# Never built so far: see docker/README.md.
#
#   docker build -f docker/cpu.Dockerfile -t moe3d_ros:cpu .
#   docker build -f docker/gpu.Dockerfile -t moe3d_ros:gpu .
#
# The defaults are for a driver with CUDA 13. CUDA 12: TENSORRT="tensorrt-cu12>=10.3,<12" and
# CUDA_PYTHON="cuda-python<13". JetPack 7.2: TENSORRT="tensorrt==10.16.*".
ARG BASE_IMAGE=moe3d_ros:cpu
FROM ${BASE_IMAGE}

ARG TENSORRT="tensorrt>=10.3,<12"
ARG CUDA_PYTHON="cuda-python<14"
COPY requirements/gpu.txt /opt/moe3d/requirements/
RUN /opt/moe3d/venv/bin/pip install --no-cache-dir \
        -r /opt/moe3d/requirements/gpu.txt "${TENSORRT}" "${CUDA_PYTHON}"

# What NVIDIA's container runtime lends of the host's driver.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
