"""SuperFlow: settings and card."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lima_bench.lima.methods.card import Count, MethodCard, Positive
from lima_bench.lima.recipes import Settings


class SuperflowSettings(Settings):
    """SuperFlow as its authors' code has it; see `lima_bench.lima.methods.superflow`.

    Attributes:
        frames: Keyframes, 0.5 s apart, that a class is followed through: 3 is the one before, the
            frame and the one after; 2 leaves out the one after; 1 leaves out the temporal term.
        sweeps: Earlier scans in the dense cloud; 0 leaves out the dense-to-sparse term.
        cameras: So many of a rig's are drawn for each sample, the same in all its frames.
        width: Of the space in which points and pixels are compared.
        temperature: Of every contrast.
        d2s: The dense-to-sparse term: the code's contrast, or 1 - cosine of matching groups,
            which is what the paper is reported to define.
    """

    frames: Annotated[int, Field(ge=1, le=3)] = 3
    sweeps: Annotated[int, Field(ge=0)] = 2
    cameras: Count = 3
    width: Count = 64
    temperature: Positive = 0.07
    d2s: Literal["nce", "cosine"] = "nce"


CARD = MethodCard(
    name="superflow",
    title="SuperFlow",
    venue="ECCV'24",
    implementation="lima_bench.lima.methods.superflow:Superflow",
    settings=SuperflowSettings,
    needs=("features", "superpixels", "sweeps"),
    segments="semantic",
    frames=3,
    heads_2d="1x1 convolution",
)
