"""Teaches a 3D backbone from images: pairs, voxels, teachers, methods, the training loop."""
