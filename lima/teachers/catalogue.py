"""The teachers there are, without their code: what a suite may name and what each one needs.

Offers `TeacherCard` and `TEACHERS`. Light: no torch, so that planning never loads it.
"""

from __future__ import annotations

import json
from pathlib import Path

from lima_bench.common.registry import Registry
from lima_bench.lima.recipes import Settings


class TeacherCard(Settings):
    """What is known of a frozen 2D network before its code or weights are loaded.

    Attributes:
        name: The teacher id.
        title: As the papers print it.
        width: Channels of its features, D.
        stride: Image pixels per feature cell; image sizes must be multiples of it.
        file: The published file's name, looked up in the weights folder.
        shipped: Whether the file comes with this package.
        source: Who publishes the file, in words.
        sha256: Of the published file; empty where the authors' file was never measured.
        implementation: ``"module:factory"`` of the network, or empty while it is not built.
        registers: Register tokens, which none of the published tables used.
        supervision: What the network was taught with.
        missing: Why there is no implementation yet.
    """

    name: str
    title: str
    width: int
    stride: int
    file: str
    source: str
    shipped: bool = False
    sha256: str = ""
    implementation: str = ""
    registers: int = 0
    supervision: str = "self-supervised"
    missing: str = ""


_HERE = "lima_bench.lima.teachers"
_DINOV2 = "the DINOv2 model zoo of its authors (repository facebookresearch/dinov2, Apache-2.0)"
_STAND_IN = "python -m lima_bench.suites.stand_in (comes with lima-bench)"

# Written by the script that makes the two files, so that hash and file never part.
_SHIPPED: dict[str, str] = json.loads((Path(__file__).parent / "tiny.json").read_text())["sha256"]

TEACHERS: Registry[TeacherCard] = Registry("teacher")
for _card in (
    TeacherCard(
        name="vit_s",
        title="ViT-S",
        width=384,
        stride=14,
        file="dinov2_vits14_pretrain.pth",
        source=_DINOV2,
        sha256="b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
        implementation=f"{_HERE}.vit:vit_small",
    ),
    TeacherCard(
        name="vit_b",
        title="ViT-B",
        width=768,
        stride=14,
        file="dinov2_vitb14_pretrain.pth",
        source=_DINOV2,
        sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        implementation=f"{_HERE}.vit:vit_base",
    ),
    TeacherCard(
        name="vit_l",
        title="ViT-L",
        width=1024,
        stride=14,
        file="dinov2_vitl14_pretrain.pth",
        source=_DINOV2,
        sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        implementation=f"{_HERE}.vit:vit_large",
    ),
    TeacherCard(
        name="resnet50",
        title="ResNet-50",
        width=2048,
        stride=4,
        file="moco_v2_800ep_pretrain.pth.tar",
        source="the MoCo v2 model zoo of its authors (repository facebookresearch/moco)",
        missing="The dilated ResNet-50 is not built yet.",
    ),
    TeacherCard(
        name="tiny",
        title="tiny (stand-in)",
        width=64,
        stride=4,
        file="tiny.safetensors",
        sha256=_SHIPPED["tiny.safetensors"],
        source=_STAND_IN,
        shipped=True,
        implementation=f"{_HERE}.tiny:tiny",
        supervision="simulator labels (material, distance, height) of other towns",
    ),
    TeacherCard(
        name="random_tiny",
        title="tiny (random control)",
        width=64,
        stride=4,
        file="random_tiny.safetensors",
        sha256=_SHIPPED["random_tiny.safetensors"],
        source=_STAND_IN,
        shipped=True,
        implementation=f"{_HERE}.tiny:tiny",
        supervision="none: random weights",
    ),
):
    TEACHERS.add(_card.name, _card)
