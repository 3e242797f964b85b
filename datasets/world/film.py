"""What a sensor makes of light: exposure, a soft shoulder, noise, eight bits; compiled.

Offers `develop`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Float32, Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.noise import bell
from lima_bench.datasets.world.shadows import UInt8

_SHOULDER = 0.8


@compiled
def develop(image: Float32, gain: Float64, sigma: float, seed: int) -> UInt8:
    """Pixels (H, W, 3) of colours (H, W, 3).

    Args:
        image: Light, about 0..1.
        gain: Exposure of red, green and blue.
        sigma: Standard deviation of the noise.
        seed: Of the noise.
    """
    height, width = image.shape[:2]
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for v in range(height):
        for u in range(width):
            for channel in range(3):
                light = image[v, u, channel] * gain[channel]
                if light > _SHOULDER:
                    light = _SHOULDER + (light - _SHOULDER) / (1 + 3 * (light - _SHOULDER))
                light += sigma * bell(seed, (v * width + u) * 3 + channel)
                pixels[v, u, channel] = np.uint8(min(max(light, 0.0), 1.0) * 255)
    return pixels
