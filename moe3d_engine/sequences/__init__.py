"""Many images at once: in any order, or a stream."""
