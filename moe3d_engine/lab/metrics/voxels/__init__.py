"""Maps of voxels against the map of the truth."""
