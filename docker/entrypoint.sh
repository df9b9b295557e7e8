#!/usr/bin/env bash
# Run a command with ROS 2, the Python environment and, once it is built, the package.
set -e

# Packages of ROS lie in the first; images that compile ROS themselves have the second. The "--"
# keeps setup.bash from reading the arguments of this script.
ros=
for setup in /opt/ros/*/setup.bash /opt/ros/*/install/setup.bash; do
    if [ -f "$setup" ]; then
        ros=$setup
        break
    fi
done
if [ -z "$ros" ]; then
    echo "There is no ROS 2 in /opt/ros of this image; build on one that has it." >&2
    exit 1
fi
source "$ros" --
source /opt/moe3d/venv/bin/activate
if [ -f /opt/moe3d/install/setup.bash ]; then
    source /opt/moe3d/install/setup.bash --
fi
exec "$@"
