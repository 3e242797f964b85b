"""Any model of timm as a teacher: ``timm:NAME``, with weights from the weights folder.

Offers `card_of` and `network`. Nothing is ever downloaded: the file ``timm--NAME.safetensors``
holds timm's own state dict (what its repositories on Hugging Face call ``model.safetensors``).
Features are the last block's or stage's, before any final normalisation, without prefix tokens;
a position embedding is resampled as timm does it (to the exact grid, antialiased), which is not
what the DINOv2 teachers `vit_s`, `vit_b` and `vit_l` do (`lima_bench.lima.teachers.vit`).
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.common.errors import UserError, nearest
from lima_bench.common.optional import optional
from lima_bench.lima.teachers.catalogue import TIMM, TeacherCard
from lima_bench.lima.teachers.files import timm_file

_SIZE_FREE: tuple[dict[str, bool], ...] = (
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)
"""How models of timm are told to take images of any size; the first that a model knows."""


class TimmNetwork(nn.Module):
    """A model of timm as our teachers are: normalised pixels to a grid, channels last.

    Args:
        model: Without its classifier.
        name: As timm calls it, for messages.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, pixels: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch h w width"]:
        """Features of the last block or stage.

        Raises:
            UserError: The model takes no images of this size, or makes no grid of features.
        """
        try:
            features = self._features(pixels)
        except AssertionError as error:  # timm's way to refuse an image size
            what = f"The model takes no images of {pixels.shape[-2]} x {pixels.shape[-1]}: {error}."
            raise UserError(TIMM + self.name, what, "Choose another image_size.") from error
        if features.ndim != 4:
            what = f"Its features have shape {tuple(features.shape)}: they are no grid."
            raise UserError(TIMM + self.name, what, "Choose another model.")
        return features.permute(0, 2, 3, 1)

    def _features(self, pixels: Tensor) -> Tensor:
        """(batch, width, h, w), or whatever a model without a grid makes."""
        last = getattr(self.model, "forward_intermediates", None)
        if last is not None:
            features: list[Tensor] = last(
                pixels, indices=1, norm=False, output_fmt="NCHW", intermediates_only=True
            )
            return features[-1]
        whole: Tensor = self.model.forward_features(pixels)  # type: ignore[operator]
        is_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        return whole.permute(0, 3, 1, 2) if is_last and whole.ndim == 4 else whole


def network(name: str) -> TimmNetwork:
    """The model that timm calls `name`, on the CPU, with weights that are to be replaced.

    It never lies on the meta device: some of its buffers are computed, not loaded.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        return TimmNetwork(_model(name), name)


def card_of(name: str, where: object = "") -> TeacherCard:
    """What timm says about ``timm:NAME``: width, stride, normalisation, where its weights are.

    Args:
        name: With the prefix.
        where: The place that names it, for messages.

    Raises:
        UserError: timm is not installed or does not import, it has no such model, or the model
            makes no grid of features.
    """
    short = name.removeprefix(TIMM)
    _must_exist(short, where or "teacher")
    return _card(short)


@lru_cache
def _card(short: str) -> TeacherCard:
    with torch.device("meta"):
        teacher = TimmNetwork(_model(short), short).eval()
    facts: dict[str, Any] = teacher.model.pretrained_cfg  # type: ignore[assignment]
    size = facts["input_size"]
    with torch.no_grad():
        grid = teacher(torch.zeros(1, *size, device="meta"))
    heads = facts.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return TeacherCard(
        name=TIMM + short,
        title=f"{short} (timm)",
        width=grid.shape[-1],
        stride=_stride(teacher.model, size[-2] // grid.shape[1]),
        mean=facts["mean"],
        std=facts["std"],
        file=timm_file(short),
        dropped=tuple(f"{head}." for head in heads),
        inside="model.",
        source=_source(short, facts),
        implementation=f"{__name__}:network:{short}",
        supervision="as its model card says",
    )


def _model(name: str) -> nn.Module:
    timm = _timm()
    for settings in _SIZE_FREE:
        try:
            model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **settings)
        except TypeError:
            if not settings:
                raise
        else:
            return model
    raise AssertionError("unreachable: the last settings are none")


def _timm() -> ModuleType:
    try:
        return optional("timm", extra="teachers")
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(
            "import timm",
            f"timm is installed but does not import: {error}",
            "Often its torchvision was built for another torch: install both from one index.",
        ) from error


def _must_exist(name: str, where: object) -> None:
    timm = _timm()
    if timm.is_model(name) and _has_tag(timm, name):
        return
    known = {*timm.list_models(), *timm.list_models(pretrained=True)}
    guess = nearest(name, known)
    raise UserError(
        where,
        f'There is no teacher "{TIMM}{name}".'
        + (f' Did you mean "{TIMM}{guess}"?' if guess else ""),
        f"timm {timm.__version__} knows {len(known)} names: timm.list_models(pretrained=True).",
    )


def _has_tag(timm: ModuleType, name: str) -> bool:
    """Whether the weights after the dot are known; without a dot they are timm's first choice."""
    return "." not in name or timm.models.is_model_pretrained(name)


def _stride(model: nn.Module, measured: int) -> int:
    """As the model declares it, else as measured on one image."""
    stages = getattr(model, "feature_info", None)
    stages = getattr(stages, "info", stages)
    return int(stages[-1]["reduction"]) if stages else measured


def _source(name: str, facts: dict[str, Any]) -> str:
    repository = str(facts.get("hf_hub_id") or "")
    if repository.startswith("timm/"):
        return f"the Hugging Face repository {repository}, where it is called model.safetensors"
    return (
        f"timm: safetensors.torch.save_file(timm.create_model({name!r}, pretrained=True)"
        ".state_dict(), FILE)"
    )
