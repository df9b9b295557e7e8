"""The plane sweep: depth of a view by comparing it with views whose cameras are known."""
