"""The commands of `moe3d` that need ROS; their modules import it only when they run."""
