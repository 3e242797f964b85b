"""Detectors: a pretrained VoxelNet under a 2D network and a head that says where boxes are."""
