"""Student networks, built on the sparse convolution engines."""
