"""The teachers there are, without their code: what a suite may name and what each one needs.

Offers `TeacherCard`, `TEACHERS` and `TIMM`, the prefix of teachers that timm brings. Light: no
torch, so that planning never loads it, unless a suite names a teacher of timm.
"""

from __future__ import annotations

import json
from pathlib import Path

from lima_bench.common.registry import Registry
from lima_bench.lima.recipes import Settings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TIMM = "timm:"
"""``timm:NAME`` is the model that timm calls NAME."""


class TeacherCard(Settings):
    """What is known of a frozen 2D network before its code or weights are loaded.

    Attributes:
        name: The teacher id.
        title: As the papers print it.
        width: Channels of its features, D.
        stride: Image pixels per feature cell; image sizes must be multiples of it.
        mean: Of each colour channel in 0..1; taken off before the network.
        std: Likewise; divided by.
        file: The published file's name, looked up in the weights folder.
        prefix: What the names of its tensors begin with in the file; if any does, those that do
            not are another network's and stay out.
        dropped: Beginnings of the names (after `prefix`) of heads that no method uses.
        inside: What the names begin with in our network instead.
        shipped: Whether the file comes with this package.
        source: Who publishes the file, in words.
        sha256: Of the published file; empty where the authors' file was never measured.
        md5: How the published file's MD5 begins, where its authors print nothing better.
        implementation: ``"module:factory"`` of the network, with ``:argument`` where the factory
            takes one, or empty while it is not built.
        registers: Register tokens, which none of the published tables used.
        supervision: What the network was taught with.
        missing: Why there is no implementation yet.
    """

    name: str
    title: str
    width: int
    stride: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    file: str
    prefix: str = ""
    dropped: tuple[str, ...] = ()
    inside: str = ""
    source: str
    shipped: bool = False
    sha256: str = ""
    md5: str = ""
    implementation: str = ""
    registers: int = 0
    supervision: str = "self-supervised"
    missing: str = ""


class Teachers(Registry[TeacherCard]):
    """The table of teachers; beside those that it lists it answers for every ``timm:NAME``."""

    def get(self, name: str, where: object = "") -> TeacherCard:
        """The card called `name`.

        Raises:
            UserError: No such name, or timm is asked for and not installed.
        """
        if not name.startswith(TIMM):
            return super().get(name, where)
        from lima_bench.lima.teachers.timm_models import card_of  # imports timm, and torch with it

        return card_of(name, where)


_HERE = "lima_bench.lima.teachers"
_DINOV2 = "the DINOv2 model zoo of its authors (repository facebookresearch/dinov2, Apache-2.0)"
_STAND_IN = "python -m lima_bench.suites.stand_in (comes with lima-bench)"

# Written by the script that makes the two files, so that hash and file never part.
_SHIPPED: dict[str, str] = json.loads((Path(__file__).parent / "tiny.json").read_text())["sha256"]


def _moco(name: str, stride: int, factory: str) -> TeacherCard:
    """MoCo v2's ResNet-50 after 800 epochs, read out at one of two strides."""
    return TeacherCard(
        name=name,
        title="ResNet-50",
        width=2048,
        stride=stride,
        file="moco_v2_800ep_pretrain.pth.tar",
        prefix="module.encoder_q.",
        dropped=("fc.",),
        source="the MoCo v2 model zoo of its authors (repository facebookresearch/moco, "
        "CC-BY-NC-4.0)",
        md5="a04e12f8",  # they print these eight digits, and no SHA-256
        implementation=f"{_HERE}.resnet:{factory}",
    )


TEACHERS = Teachers("teacher")
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
    _moco("resnet50", 4, "dilated"),
    _moco("resnet50_plain", 32, "plain"),
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
