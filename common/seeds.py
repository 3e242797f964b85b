"""Seeds from named parts, so that no two uses of randomness share a stream by accident."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed that depends on every part and on their order.

    Example: ``derive_seed(seed, "augment", epoch, frame.id)``.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
