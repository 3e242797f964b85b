"""ST-SLidR (CVPR 2023): SLidR that is lenient with superpixels that look alike.

The frozen teacher says how similar two superpixels are. Of an anchor's candidates the most similar
ones no longer push it away (semantic tolerance), and anchors that resemble many others weigh less
(class balance). Source: the authors' released code, as read in methods-spatial 3.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Loss, Student, Teacher
from lima_bench.lima.losses import products, unit, widen
from lima_bench.lima.methods.cards.st_slidr import StSlidrSettings
from lima_bench.lima.segments import Segments, superpoint_means

Square = Float[Tensor, "groups groups"]


class StSlidr(nn.Module):
    """Contrast of superpixel means in which the teacher's similarities have a say."""

    def __init__(self, settings: StSlidrSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.point_head = nn.Linear(student.width, settings.width)
        self.pixel_head = nn.Linear(teacher.width, settings.width)

    def forward(self, batch: Batch) -> Loss:
        """Tolerant InfoNCE over the superpixels that hold a pair and that the teacher's grid has.

        Similarities are those of the whole batch, not of one scan; no gradient goes through them.
        """
        segments = Segments.of(batch)
        points, count = superpoint_means(self.student, self.point_head, batch, segments)
        grids = self.teacher(batch.images).detach()
        pixels = segments.pixel_means(self.pixel_head(grids.to(self.pixel_head.weight.dtype)))
        looks = unit(segments.cell_means(grids))
        kept = (count > 0) & looks.any(1)
        similarity = products(looks[kept], looks[kept])
        return Loss(contrast=tolerant_nce(points[kept], pixels[kept], similarity, self.settings))


def tolerant_nce(
    anchors: Float[Tensor, "groups width"],
    candidates: Float[Tensor, "groups width"],
    similarity: Square,
    settings: StSlidrSettings,
) -> Float[Tensor, ""]:
    """InfoNCE whose logits are scaled by how unlike a candidate is, averaged with weights.

    Args:
        anchors: Of the student.
        candidates: Of the teacher, with its head.
        similarity: Cosines of the superpixels as the frozen teacher sees them.
        settings: Which of the published variants.
    """
    if len(anchors) == 0:
        return (anchors.sum() + candidates.sum()) * 0.0
    logits = products(widen(anchors) / settings.temperature, candidates)
    kept = _kept_share(similarity, settings).to(logits.dtype)
    scaled = logits * kept
    if settings.tolerance == "hard" and settings.drop_mode == "remove":
        scaled = scaled.masked_fill(kept == 0, -torch.inf)
    terms = scaled.logsumexp(1) - logits.diagonal()
    if settings.tolerance == "soft" or not settings.class_balance:
        return terms.mean()
    weight = _balance(similarity, settings.vote_threshold).to(terms.dtype)
    return (weight * terms).sum() / weight.sum()


def _kept_share(similarity: Square, settings: StSlidrSettings) -> Square:
    """What is left of each logit: all or nothing, or less the more similar; an anchor's own is."""
    if settings.tolerance == "soft":
        kept = 1 - similarity.clamp(0, 1)
    else:
        unlike = 1 - similarity
        kept = (unlike >= _row_quantile(unlike, settings.quantile)).to(similarity.dtype)
    return kept.fill_diagonal_(1)


def _row_quantile(values: Square, share: float) -> Float[Tensor, "groups 1"]:
    """The quantile of each row, linear between neighbours.

    `torch.quantile` sorts whole rows and refuses more than 16 million values; here only the
    smallest are looked for.
    """
    place = share * (values.shape[1] - 1)
    low = int(place)
    smallest = values.topk(min(low + 2, values.shape[1]), dim=1, largest=False).values
    below, above = smallest[:, low], smallest[:, min(low + 1, smallest.shape[1] - 1)]
    return torch.lerp(below, above, place - low)[:, None]


def _balance(similarity: Square, threshold: float) -> Float[Tensor, " groups"]:
    """Weight 0 for the anchor that resembles most others, 1 for the one that resembles fewest.

    Where all resemble equally many, the published division is 0 / 0: then all weigh the same.
    """
    votes = torch.where(similarity >= threshold, similarity, 0).sum(1)
    above = votes - votes.min()
    most = above.max()
    return 1 - above / torch.where(most > 0, most, 1)
