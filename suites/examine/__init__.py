"""Looks at a data set as it lies on disk: what is there, whether it fits together, how it looks."""
