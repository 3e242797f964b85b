"""As ``centerpoint_voxel0075_4ch.py``, with the sweeps' time lag as a fifth input.

A checkpoint of four inputs fits: its weights for the lag begin at zero (detection 5.2).
"""

_base_ = "./centerpoint_voxel0075_4ch.py"

model = dict(pts_voxel_encoder=dict(num_features=5), pts_middle_encoder=dict(in_channels=5))
