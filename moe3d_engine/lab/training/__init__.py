"""Training of the network: windows from sets of views, the losses and one flat loop."""
