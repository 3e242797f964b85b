"""Sparse convolution: one interface, interchangeable engines."""
