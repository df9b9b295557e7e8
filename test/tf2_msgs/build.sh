#!/usr/bin/env bash
# Builds tf2_msgs/msg/TFMessage, of which there is no wheel, into an environment that has the wheels
# of ROS 2 Kilted, so that TF is tested over the middleware. Needs cmake, ninja and g++.
#
#   test/tf2_msgs/build.sh VENV
set -euo pipefail
source_folder=$(cd "$(dirname "$0")" && pwd)
venv=$(realpath "$1")
export PATH="$venv/bin:$PATH" AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv"
unset PYTHONPATH

python -m pip install --quiet --disable-pip-version-check -r "$source_folder/requirements.txt"

# The wheels name folders of the machine that made them.
headers=$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
find "$venv/share" -name '*.cmake' -exec sed -i -E \
  -e "s#/opt/python/[^/]+/include/python3\.[0-9]+#$headers#g" \
  -e "s#/opt/python/[^/]+/lib/python3\.[0-9]+/site-packages#$packages#g" {} +

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S "$source_folder" -B "$build" -G Ninja -DBUILD_TESTING=OFF \
  -DCMAKE_INSTALL_PREFIX="$venv" -DPython3_EXECUTABLE="$venv/bin/python" > "$build/log" 2>&1 &&
  ninja -C "$build" install >> "$build/log" 2>&1 || { tail -n 40 "$build/log"; exit 1; }
python -c 'from tf2_msgs.msg import TFMessage; print("built", TFMessage.__module__)'
