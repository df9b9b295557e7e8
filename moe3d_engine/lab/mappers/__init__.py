"""Mapping code that robots run, in the loop: what depth does to the maps of others."""
