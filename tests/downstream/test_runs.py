"""Linear probing and fine-tuning end to end: what trains, what stays, what comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from lima_bench.common.errors import UserError
from lima_bench.common.hashing import canonical_json, digest
from lima_bench.datasets.sample import IGNORE, Sample
from lima_bench.downstream import finetune, linear_probe
from lima_bench.downstream.evaluate import evaluate
from lima_bench.downstream.recipes import DownstreamRecipe
from lima_bench.downstream.scores.miou import ConfusionMatrix, mean_iou
from lima_bench.downstream.segment import load_segmenter
from lima_bench.lima.backbones import minkunet
from lima_bench.lima.checkpoint import save_student, weights_digest
from lima_bench.lima.pretrain import new_student
from lima_bench.lima.recipes import (
    Augmentation,
    GridBounds,
    InputSettings,
    Length,
    Optimiser,
    StudentSettings,
    VoxelSettings,
)


def _recipe(**changes) -> DownstreamRecipe:
    options = {
        "length": Length(steps=6),
        "batch_size": 2,
        "optimiser": Optimiser(lr=0.01),
        "checkpoint_steps": 2,
        **changes,
    }
    return DownstreamRecipe(**options)


@pytest.fixture(scope="module")
def sources(make_source):
    return make_source(5), make_source(3, name="val")


@pytest.fixture
def caught(monkeypatch):
    """The segmenters that runs train."""
    from lima_bench.downstream import training

    found = []

    def load(*args, **options):
        found.append(load_segmenter(*args, **options))
        return found[-1]

    monkeypatch.setattr(training, "load_segmenter", load)
    return found


def _run(task, checkpoint, student, sources, folder, recipe=None, **options):
    return task.run(
        checkpoint,
        student,
        recipe or _recipe(),
        *sources,
        seed=options.pop("seed", 0),
        folder=folder,
        **options,
    )


def _backbone(segmenter) -> dict[str, torch.Tensor]:
    return dict(segmenter.backbone.state_dict())


def _loaded(checkpoint) -> dict[str, torch.Tensor]:
    weights = safetensors.torch.load_file(checkpoint)
    return {name.removeprefix("backbone."): value for name, value in weights.items()}


def test_probing_leaves_every_tensor_of_the_backbone_as_it_was(
    checkpoint, student, sources, tmp_path, caught
) -> None:
    _run(linear_probe, checkpoint, student, sources, tmp_path)
    before, after = _loaded(checkpoint), _backbone(caught[0])
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert caught[0].head.bias.any()


def test_probing_may_let_batchnorm_drift(checkpoint, student, sources, tmp_path, caught) -> None:
    _run(linear_probe, checkpoint, student, sources, tmp_path, _recipe(lp_bn="train"))
    before, after = _loaded(checkpoint), _backbone(caught[0])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("running_" in n or "num_batches" in n for n in changed)


def test_finetuning_changes_everything_and_each_group_at_its_rate(
    checkpoint, student, sources, tmp_path, caught
) -> None:
    rates = []
    recipe = _recipe(head_lr=0.1)
    report = lambda done, total, metrics=None: rates.append(metrics)  # noqa: E731
    _run(finetune, checkpoint, student, sources, tmp_path, recipe, report=report)
    before, after = _loaded(checkpoint), _backbone(caught[0])
    assert all(not torch.equal(before[n], after[n]) for n in before if n.endswith("weight"))
    assert max(m["lr_head"] for m in rates) == pytest.approx(
        10 * max(m["lr_backbone"] for m in rates)
    )
    assert {"ce", "lovasz", "loss"} <= rates[0].keys()


def test_the_head_starts_small_and_depends_on_the_seed_alone(checkpoint, student) -> None:
    def head(seed):
        torch.manual_seed(seed * 31)
        return load_segmenter(
            checkpoint, student, 16, bn_momentum=0.05, backing="learns", seed=seed
        ).head

    one, same, other = head(0), head(0), head(1)
    assert torch.equal(one.weight, same.weight) and not torch.equal(one.weight, other.weight)
    assert one.weight.std().item() == pytest.approx(0.01, rel=0.15) and not one.bias.any()


@pytest.mark.parametrize(("task", "lr", "gain"), [(linear_probe, 0.3, 5), (finetune, 0.03, 25)])
def test_it_learns_what_heights_mean(
    checkpoint, student, sources, tmp_path, task, lr, gain
) -> None:
    recipe = _recipe(length=Length(steps=25), optimiser=Optimiser(lr=lr))
    scores = _run(task, checkpoint, student, sources, tmp_path, recipe).scores
    untaught = load_segmenter(checkpoint, student, 3, bn_momentum=0.05, backing="learns", seed=0)
    before = evaluate(untaught, sources[1], student, batch_size=2).scores
    assert scores["miou"] > before["miou"] + gain
    expected = {"miou", "accuracy", "fwiou", "classes_present"} | {
        f"miou_{name}"
        for name in ("seen", "unseen", "moving", "static", "0_20m", "20_40m", "40m_up")
    }
    assert scores.keys() == expected and scores["classes_present"] == 3
    assert all(np.isfinite(value) for value in scores.values())


@pytest.mark.parametrize("loss_on", ["voxels", "points"])
def test_a_network_with_a_birds_eye_map_is_asked_per_point(sources, tmp_path, loss_on) -> None:
    """Labels are quadrants: its map knows where a point is. Points outside the grid are scored."""

    def quadrants(source):
        def load(frame):
            sample = source.load(frame)
            labels = (sample.points[:, 0] > 0).astype(np.int64)
            return replace(sample, labels=np.where(sample.points[:, 1] > 0, labels, 2))

        return replace(source, load=load)

    bounds = GridBounds(lower=(-48.0, -48.0, -3.0), upper=(48.0, 48.0, 3.4))
    student = StudentSettings(
        backbone="voxelnet",
        voxels=VoxelSettings(
            kind="cartesian", size=(3.0, 3.0, 0.2), rounding="floor", bounds=bounds
        ),
        inputs=InputSettings(intensity="unit", box_m=((-1.0,) * 3, (1.0,) * 3)),
    )
    checkpoint = tmp_path / "voxelnet.safetensors"
    learner = new_student(student, bn_momentum=0.05, seed=0)
    save_student(checkpoint, learner, {"backbone": "voxelnet"})
    still = Augmentation(rotation_deg=0.0, flip_probability=0.0, scale=(1.0, 1.0))
    recipe = _recipe(
        length=Length(steps=20), optimiser=Optimiser(lr=0.03), augmentation=still, loss_on=loss_on
    )
    train, val = map(quadrants, sources)
    scores = _run(finetune, checkpoint, student, (train, val), tmp_path / "state", recipe)
    assert scores.scores["miou"] > 33  # the largest class alone makes 17
    assert scores.details["val_frames"] == 3


def test_on_a_cpu_the_network_finds_its_maps_in_the_batch(
    checkpoint, student, sources, tmp_path, monkeypatch
) -> None:
    expected = _run(finetune, checkpoint, student, sources, tmp_path / "a")
    monkeypatch.setattr(minkunet, "Level", None)  # it would build them with this
    assert _run(finetune, checkpoint, student, sources, tmp_path / "b") == expected


class _Killed(Exception):
    pass


def test_killed_and_resumed_gives_the_same_result(checkpoint, student, sources, tmp_path) -> None:
    recipe = _recipe(evaluations=3)
    expected = _run(finetune, checkpoint, student, sources, tmp_path / "whole", recipe)
    for stop in (3, 5):

        def kill(done, total, metrics=None, stop=stop) -> None:
            if done == stop:
                raise _Killed

        with pytest.raises(_Killed):
            _run(finetune, checkpoint, student, sources, tmp_path / "cut", recipe, report=kill)
    assert _run(finetune, checkpoint, student, sources, tmp_path / "cut", recipe) == expected


def test_loading_processes_change_nothing(checkpoint, student, sources, tmp_path) -> None:
    results = [
        _run(finetune, checkpoint, student, sources, tmp_path / str(n), workers=n) for n in (0, 2)
    ]
    assert results[0] == results[1]


@pytest.mark.filterwarnings("ignore:BatchNorm is not synchronised")
def test_two_processes_share_training_and_scoring(checkpoint, student, sources, tmp_path) -> None:
    recipe = _recipe(batch_size=1)
    two = _run(linear_probe, checkpoint, student, sources, tmp_path, recipe, devices=2)
    assert two.details["n_points"]["all"] == sum(
        int((sources[1].load(frame).labels != IGNORE).sum()) for frame in sources[1].frames
    )
    again = _run(linear_probe, checkpoint, student, sources, tmp_path / "b", recipe, devices=2)
    assert again == two


def test_details_are_json_and_say_what_was_used(checkpoint, student, sources, tmp_path) -> None:
    result = _run(linear_probe, checkpoint, student, sources, tmp_path)
    details = result.details
    canonical_json([result.scores, details])
    assert details["label_share_digest"] == digest([frame.id for frame in sources[0].frames])
    assert details["unknown_labels"] == {"77": 6}
    assert details["evaluations"] == {"6": result.scores["miou"]}
    assert (details["reported_step"], details["train_frames"], details["val_frames"]) == (6, 5, 3)
    assert details["iou"]["all"].keys() == {"ground", "middle", "sky"}


def test_scores_are_per_point_through_the_inverse_map(checkpoint, student, sources) -> None:
    segmenter = load_segmenter(
        checkpoint, student, 3, bn_momentum=0.05, backing="learns", seed=0
    ).train()
    before = weights_digest(segmenter.state_dict())
    results = [evaluate(segmenter, sources[1], student, batch_size=n) for n in (1, 2)]
    assert segmenter.training and weights_digest(segmenter.state_dict()) == before
    assert results[0].scores == pytest.approx(results[1].scores)
    matrix = ConfusionMatrix(3, np.array(results[0].details["confusion"]["all"]))
    assert results[0].scores["miou"] == pytest.approx(100 * mean_iou(matrix))
    halves = results[0].details["n_points"]
    assert halves["seen"] + halves["unseen"] == halves["moving"] + halves["static"] == halves["all"]


@pytest.mark.parametrize(("report", "expected"), [("last", max), ("best", None)])
def test_which_evaluation_counts(checkpoint, student, sources, tmp_path, report, expected) -> None:
    recipe = _recipe(evaluations=3, report=report, optimiser=Optimiser(lr=0.2))
    result = _run(finetune, checkpoint, student, sources, tmp_path, recipe)
    seen = {int(step): miou for step, miou in result.details["evaluations"].items()}
    assert sorted(seen) == [2, 4, 6]
    wanted = 6 if expected else max(seen, key=lambda step: seen[step])
    assert result.details["reported_step"] == wanted
    assert result.scores["miou"] == seen[wanted]


def _relabelled(source, change):
    def load(frame) -> Sample:
        sample = source.load(frame)
        return replace(sample, labels=change(sample.labels))

    return replace(source, load=load)


def test_a_share_in_which_all_is_ignored_still_ends(checkpoint, student, sources, tmp_path) -> None:
    blind = _relabelled(sources[0], lambda labels: np.full_like(labels, IGNORE))
    result = _run(finetune, checkpoint, student, (blind, sources[1]), tmp_path)
    assert result.details["final_terms"] == {"ce": 0.0, "lovasz": 0.0, "loss": 0.0}
    assert np.isfinite(result.scores["miou"])


def test_a_class_that_the_share_lacks_scores_zero(checkpoint, student, sources, tmp_path) -> None:
    poor = _relabelled(sources[0], lambda labels: np.where(labels == 2, IGNORE, labels))
    recipe = _recipe(length=Length(steps=10), optimiser=Optimiser(lr=0.03))
    result = _run(finetune, checkpoint, student, (poor, sources[1]), tmp_path, recipe)
    assert result.details["iou"]["all"]["sky"] == 0 and result.scores["classes_present"] == 3


def test_validation_without_any_label_is_refused(checkpoint, student, sources, tmp_path) -> None:
    blind = _relabelled(sources[1], lambda labels: np.full_like(labels, IGNORE))
    with pytest.raises(UserError, match="No frame has a point with a label"):
        _run(finetune, checkpoint, student, (sources[0], blind), tmp_path)


def test_other_classes_in_validation_are_refused(
    checkpoint, student, sources, make_source, tmp_path
) -> None:
    with pytest.raises(UserError, match="other classes"):
        _run(finetune, checkpoint, student, (sources[0], make_source(2, n_classes=4)), tmp_path)


def test_a_checkpoint_of_another_input_is_refused(checkpoint, student, sources, tmp_path) -> None:
    inputs = student.inputs.model_copy(update={"channels": ("intensity",)})
    other = student.model_copy(update={"inputs": inputs})
    with pytest.raises(UserError, match=r"tensors do not fit.*in the file.*wanted"):
        _run(finetune, checkpoint, other, sources, tmp_path)


def test_loss_may_use_every_point(checkpoint, student, sources, tmp_path) -> None:
    finals = [
        _run(
            finetune,
            checkpoint,
            student,
            sources,
            tmp_path / on,
            _recipe(loss_on=on, length=Length(steps=1)),
        ).details["final_terms"]["ce"]
        for on in ("voxels", "points")
    ]
    assert finals[0] != finals[1] and finals[0] == pytest.approx(finals[1], abs=0.2)
