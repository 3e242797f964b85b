"""Frozen 2D networks that load the published weight files by their published names."""
