"""Runs that judge where cameras are: tracked, matched, on a rig, or told by odometry."""
