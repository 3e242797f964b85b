"""Methods from outside: registered, read from a file, and put through the conformance kit."""

import numpy as np
import pytest
import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.lima.api import (
    METHODS,
    Loss,
    Settings,
    load_method,
    load_plugin,
    register_method,
    sample_pixels,
)
from lima_bench.lima.losses import unit_distance
from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.methods.cards.cleverdistiller import CleverdistillerSettings
from lima_bench.lima.methods.cards.csc import CscSettings
from lima_bench.lima.methods.cards.gcc3d import Gcc3dSettings
from lima_bench.lima.methods.cards.hvdistill import HvdistillSettings
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.methods.cards.pointcontrast import PointcontrastSettings
from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.methods.cards.slidr import SlidrSettings
from lima_bench.lima.methods.cards.st_slidr import StSlidrSettings
from lima_bench.lima.methods.cards.superflow import SuperflowSettings
from lima_bench.lima.methods.cards.tricc import TriccSettings
from lima_bench.lima.rows import paired_rows
from lima_bench.lima.testing import conformance

PLUGIN = '''
"""Cosine distillation without a memory: the plainest baseline."""
from typing import Literal
from torch import nn
from lima_bench.lima.api import (
    Batch, Loss, Settings, Student, Teacher, register_method, sample_pixels
)
from lima_bench.lima.losses import unit_distance
from lima_bench.lima.rows import paired_rows

class CosineSettings(Settings):
    distance: Literal["cosine", "l2norm"] = "cosine"

@register_method("plain-cosine", version=1, settings=CosineSettings)
class PlainCosine(nn.Module):
    def __init__(self, settings: CosineSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings, self.teacher, self.student = settings, teacher, student
        self.head = nn.Linear(student.width, teacher.width)

    def forward(self, batch: Batch) -> Loss:
        pixels = sample_pixels(self.teacher(batch.images), batch.pairs, batch.images.size)
        kept, rows = paired_rows(batch)
        points = self.head(self.student(batch.voxels)[rows])
        return Loss(cosine=unit_distance(points, pixels[kept].detach(), self.settings.distance))
'''


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))


def _failed(findings):
    return [finding.check for finding in findings if not finding.passed]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("slidr", None),
        ("slidr", SlidrSettings(mask_empty=False, renormalise_pool=True)),
        ("scalr", None),
        ("scalr", ScalrSettings(cameras="one", student_input="visible")),
        ("lima", None),
        ("lima", LimaSettings(cva="off", pool="softmax_sim", mix="polar", reduce="per_scan")),
        ("lima", LimaSettings(pool="max", coverage="current", mix="none")),
        ("ppkt", None),
        ("st_slidr", None),
        ("st_slidr", StSlidrSettings(tolerance="soft")),
        ("seal", None),
        ("pointcontrast", None),
        ("pointcontrast", PointcontrastSettings(loss="hardest")),
        ("gcc3d", None),
        ("gcc3d", Gcc3dSettings(prototypes=4, refreshes=3, harmonise_from=0.3)),
        ("csc", None),
        ("csc", CscSettings(classes=6, refresh_every=0.3, csc_index_shift=True)),
        ("tricc", None),
        ("tricc", TriccSettings(renormalise_pool=False, mask_empty=True, matched=1.0, walks=9)),
        ("hvdistill", None),
        ("hvdistill", HvdistillSettings(bev_from=0.0, inner=8)),
        ("scalr", ScalrSettings(head="mlp", head_width=16)),
        ("superflow", None),
        ("superflow", SuperflowSettings(cameras=1)),
        ("superflow", SuperflowSettings(d2s="cosine", frames=2, sweeps=1)),
        ("cleverdistiller", None),
        ("cleverdistiller", CleverdistillerSettings(occupancy="voxel", head_norm="none")),
        ("cleverdistiller", CleverdistillerSettings(head_layers=1, occupancy_weight=0)),
        ("cleverdistiller", CleverdistillerSettings(head_layers=4, head_width="teacher")),
    ],
)
def test_built_in_methods_conform(name, settings):
    assert all(finding.passed for finding in conformance(METHODS.get(name), settings)), conformance(
        METHODS.get(name), settings
    )


def test_a_file_is_a_method(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    module = load_plugin(path)
    card = METHODS.get("plain-cosine")
    assert (card.title, card.version, card.order) == ("plain-cosine", 1, "shuffled")
    assert card.is_built
    assert load_method(card) is module.PlainCosine
    assert card.settings().model_dump() == {"distance": "cosine"}
    assert _failed(conformance(card)) == []
    assert load_plugin(path) is module


def test_a_plug_in_may_ask_for_masks():
    @register_method(
        "masked", version=1, settings=Settings, needs=("superpixels",), segments="semantic"
    )
    class Masked(nn.Module):
        """Never run."""

    card = METHODS.get("masked")
    assert (card.segments, card.needs, card.implementation) == (
        "semantic",
        ("superpixels",),
        Masked,
    )


def test_a_plug_in_may_ask_for_clusters_and_tell_what_it_sees():
    facts = {"needs": ("clusters",), "clusters": "segments", "frames": 2, "heads_2d": "linear"}

    @register_method("clustered", version=1, settings=Settings, **facts)
    class Clustered(nn.Module):
        """Never run."""

    card = METHODS.get("clustered")
    assert card.title == "clustered"
    assert {name: getattr(card, name) for name in facts} == facts


def test_files_of_one_name_do_not_meet(tmp_path):
    for folder, value in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"VALUE = {value}\n")
    modules = [load_plugin(tmp_path / folder / "mine.py") for folder in ("one", "two")]
    assert [module.VALUE for module in modules] == [1, 2]


def test_a_taken_name_is_refused(tmp_path):
    path = tmp_path / "clash.py"
    path.write_text(PLUGIN.replace("plain-cosine", "scalr"))
    with pytest.raises(UserError, match="That name is taken"):
        load_plugin(path)


def test_a_missing_file_tells_the_remedy(tmp_path):
    with pytest.raises(UserError, match="existing FILE"):
        load_plugin(tmp_path / "nowhere.py")


def test_a_broken_file_tells_the_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import math\n\nmath.nothing\n")
    for _ in range(2):  # a failed import leaves nothing half loaded
        with pytest.raises(UserError) as caught:
            load_plugin(path)
        assert caught.value.where == f"{path}:3"
        assert "AttributeError" in caught.value.what
    path.write_text("def f(:\n")
    with pytest.raises(UserError, match=r"broken\.py:1"):
        load_plugin(path)


def test_settings_must_be_settings():
    with pytest.raises(UserError, match=r"lima_bench\.lima\.api\.Settings"):
        register_method("odd", version=1, settings=dict)


def test_methods_not_built_yet_say_so():
    with pytest.raises(UserError, match=r"not built yet(.|\n)*Built: .*lima, .*random, scalr, "):
        load_method(MethodCard(name="someday", title="Someday"))


def test_every_built_card_has_its_class():
    for name in METHODS.names():
        card = METHODS.get(name)
        if card.is_built:
            assert issubclass(load_method(card), nn.Module)


def test_random_has_nothing_to_check():
    assert not METHODS.get("random").learns
    with pytest.raises(UserError, match="no loss"):
        conformance(METHODS.get("random"))


class _Sound(nn.Module):
    """A conforming method, to be broken in one way at a time."""

    def __init__(self, settings, teacher, student):
        super().__init__()
        self.teacher, self.student = teacher, student
        self.head = nn.Linear(student.width, teacher.width)

    def features(self, batch):
        return self.student(batch.voxels)

    def pixels(self, batch):
        return sample_pixels(self.teacher(batch.images), batch.pairs, batch.images.size).detach()

    def forward(self, batch):
        kept, rows = paired_rows(batch)
        points = self.head(self.features(batch)[rows])
        return Loss(pull=unit_distance(points, self.pixels(batch)[kept]))


class _TrainsTeacher(_Sound):
    def pixels(self, batch):
        return sample_pixels(self.teacher(batch.images), batch.pairs, batch.images.size)


class _WearsTheTeacherOut(_Sound):
    def pixels(self, batch):
        with torch.no_grad():
            self.teacher.gain.mul_(0.99)
        return super().pixels(batch)


class _NeedsTwoScans(_Sound):
    def forward(self, batch):
        assert batch.scans[1].stop > 0
        return super().forward(batch)


class _NeedsSegments(_Sound):
    def forward(self, batch):
        ids = batch.images.superpixels
        return Loss(pull=super().forward(batch).total * ids[ids >= 0].double().mean())


class _ForgetsStudent(_Sound):
    def features(self, batch):
        return super().features(batch).detach()


class _Gambles(_Sound):
    def forward(self, batch):
        return Loss(pull=super().forward(batch).total * np.random.default_rng().random())


class _MeansOverNothing(_Sound):
    def forward(self, batch):
        kept, rows = paired_rows(batch)
        points = self.head(self.features(batch)[rows])
        return Loss(pull=(points - self.pixels(batch)[kept]).square().mean())


class _HidesState(_Sound):
    steps = 0

    def forward(self, batch):
        self.steps += 1
        return Loss(pull=super().forward(batch).total * self.steps)


class _PerRow(_Sound):
    def forward(self, batch):
        return Loss(pull=self.features(batch).square().sum(1))


class _Plain(_Sound):
    def forward(self, batch):
        return super().forward(batch).total


class _LearnsInSurveys(_Sound):
    def survey(self, batches):
        for _ in batches:
            self.head.bias.add_(1)


class _PlansByChance(_Sound):
    @staticmethod
    def plan_views(settings, scans, rng):
        from lima_bench.lima.methods.lima import Lima

        return Lima.plan_views(LimaSettings(), scans, np.random.default_rng())


@pytest.mark.parametrize(
    ("method", "caught"),
    [
        (_TrainsTeacher, "no gradient reaches the teacher"),
        (_WearsTheTeacherOut, "a step moves the student and not the teacher"),
        (_ForgetsStudent, "gradients reach the student"),
        (_NeedsTwoScans, "a batch of one scan is survived"),
        (_NeedsSegments, "a batch without superpixels is survived"),
        (_Gambles, "the same seed gives the same loss"),
        (_LearnsInSurveys, "a survey changes no weight"),
        (_PlansByChance, "the same seed gives the same loss"),
        (_MeansOverNothing, "a batch without pairs is survived"),
        (_HidesState, "the state survives saving and loading"),
        (_PerRow, "the loss is a finite scalar"),
        (_Plain, "the loss is a finite scalar"),
    ],
)
def test_the_kit_catches(method, caught):
    assert _failed(conformance(_card(_Sound))) == []
    assert caught in _failed(conformance(_card(method)))


def _card(method):
    return MethodCard(name="trial", title="Trial", implementation=method, settings=Settings)


def test_the_kit_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    conformance(METHODS.get("scalr"))
    assert torch.equal(torch.rand(1), expected)
