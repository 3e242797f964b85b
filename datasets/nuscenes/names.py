"""Names that the nuScenes writer gives: tokens, log and file names.

Offers `token`, `links`, `log_name`, `file_name` and `lidar_token`. Tokens are digests of what they
name, so the same recording always has the same ones.
"""

from __future__ import annotations

import hashlib
import re

from lima_bench.datasets.nuscenes.tables import LIDAR
from lima_bench.datasets.world.recording import Recording


def token(*parts: str | int) -> str:
    """32 hex digits that depend on every part and on their order."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_name(recording: Recording, channel: str, timestamp_us: int, *, is_key: bool) -> str:
    """Where a sensor file lies, relative to the data root."""
    folder, suffix = "samples" if is_key else "sweeps", "pcd.bin" if channel == LIDAR else "jpg"
    return f"{folder}/{channel}/{log_name(recording)}__{channel}__{timestamp_us}.{suffix}"


def lidar_token(recording: Recording, timestamp_us: int) -> str:
    """Token of the scan that was taken then; its label file is named by it."""
    return token("sample_data", recording.name, LIDAR, timestamp_us)


def log_name(recording: Recording) -> str:
    """The log's name; two underscores would break the file name's parts."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", f"synth-{recording.town}-{recording.name}")


def links(tokens: list[str]) -> list[dict[str, str]]:
    """The prev and next of each of a chain of tokens; empty at its ends."""
    ends = ["", *tokens, ""]
    return [{"prev": a, "next": b} for a, b in zip(ends[:-2], ends[2:], strict=True)]
