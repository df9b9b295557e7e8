"""What ROS gives the node: command line, files of parameters, environment."""
