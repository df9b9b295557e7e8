# moe3d_ros on a CPU with OpenVINO, x86-64 or ARM. Never built so far: see docker/README.md.
#
#   docker build -f docker/cpu.Dockerfile -t moe3d_ros:cpu .
#
# BASE_IMAGE is any image with ROS 2 (Humble, Jazzy, Kilted) in /opt/ros.
ARG BASE_IMAGE=ros:jazzy-ros-base
FROM ${BASE_IMAGE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-opencv python3-venv \
    && rm -rf /var/lib/apt/lists/*

# The environment sees the packages of ROS and of Ubuntu, as in README.md.
COPY requirements/ros.txt /opt/moe3d/requirements/
RUN python3 -m venv --system-site-packages /opt/moe3d/venv \
    && /opt/moe3d/venv/bin/pip install --no-cache-dir \
        -r /opt/moe3d/requirements/ros.txt "colcon-common-extensions>=0.3,<0.4"

COPY docker/entrypoint.sh /opt/moe3d/
COPY LICENSE package.xml setup.py setup.cfg /opt/moe3d/src/moe3d_ros/
COPY config /opt/moe3d/src/moe3d_ros/config
COPY launch /opt/moe3d/src/moe3d_ros/launch
COPY moe3d_engine /opt/moe3d/src/moe3d_ros/moe3d_engine
COPY moe3d_ros /opt/moe3d/src/moe3d_ros/moe3d_ros
COPY resource /opt/moe3d/src/moe3d_ros/resource
WORKDIR /opt/moe3d
RUN bash entrypoint.sh python -m colcon build --base-paths src --packages-select moe3d_ros

# Compiled networks and plans outlive the container.
ENV MOE3D_CACHE=/cache
VOLUME /cache
ENTRYPOINT ["bash", "/opt/moe3d/entrypoint.sh"]
CMD ["ros2", "launch", "moe3d_ros", "reconstruct.launch.py"]
