"""Our VoxelNet in mmdetection3d: an encoder, a converter of checkpoints, configurations."""
