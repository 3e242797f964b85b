"""The conformance kit: does a method, built in or plugged in, keep the promises of its kind?

Offers `conformance`, which runs a method on made-up batches, and `Finding`. It checks that the
loss is a finite scalar, that gradients reach the student and never the teacher, that a step moves
all that learns and leaves the teacher as it is, that the same seed gives the same loss, that state
survives saving, that a survey leaves weights alone, and that batches of one scan, without pairs,
with an empty view, with an empty scan and without any superpixel are survived.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.lima.api import Batch, Loss, MethodCard, Settings, load_method
from lima_bench.lima.batch import Moment
from lima_bench.lima.company import company_of
from lima_bench.lima.order import order_of
from lima_bench.lima.synthetic import (
    GridTeacher,
    Placed,
    SyntheticScan,
    TinyStudent,
    accompanied,
    random_drive,
    without_pairs,
)
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import ViewPlan, plan_views


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: What was checked.
        passed: Whether it held.
        detail: What went wrong, empty if nothing.
    """

    check: str
    passed: bool
    detail: str = ""


def conformance(card: MethodCard, settings: Settings | None = None) -> tuple[Finding, ...]:
    """Run every check on a method.

    Args:
        card: The method.
        settings: Its settings; the defaults if None.

    Raises:
        UserError: The method has no code, or is one without a loss.
    """
    if not card.learns:
        raise UserError(f"method {card.name}", "It has no loss, so there is nothing to check.")
    trial = _Trial(load_method(card), settings or card.settings(), card.order)
    return tuple(_run(name, check, trial) for name, check in _CHECKS.items())


class _Trial:
    """One method with its settings, ready to be built again and again."""

    def __init__(self, method: type[nn.Module], settings: Settings, usual: OrderKind) -> None:
        self.method, self.settings = method, settings
        self.order = order_of(method, settings, usual)
        self.drives = tuple(random_drive(name) for name in ("first", "second"))

    def build(self, seed: int = 0, teacher: GridTeacher | None = None) -> Any:
        """A fresh method with its own student and teacher."""
        torch.manual_seed(derive_seed(seed, "build"))
        return self.method(self.settings, teacher or GridTeacher(), TinyStudent())

    def plan(self, placed: Sequence[Placed]) -> ViewPlan:
        """The views that the method asks for; the same at every call."""
        rng = np.random.default_rng(derive_seed(0, "plan", placed[0].scan.index))
        return plan_views(self.method, self.settings, [one.input for one in placed], rng)

    def batch(self, scans: Sequence[SyntheticScan], step: int | None = None) -> Batch:
        """A batch of these scans, one of each recording, with the company the method wants."""
        company = company_of(self.method, self.settings)
        placed = accompanied(scans, self.drives[: len(scans)], company)
        step = scans[0].index if step is None else step
        moment = Moment(step, steps_per_epoch=2, total_steps=len(self.drives[0]))
        return collate(placed, self.plan(placed), moment=moment)

    def steps(self) -> list[Batch]:
        """Two recordings side by side, walked in time or, where the method's are, shuffled."""
        walks = [self._walk(drive) for drive in self.drives]
        return [self.batch(scans, step) for step, scans in enumerate(zip(*walks, strict=True))]

    def _walk(self, drive: Sequence[SyntheticScan]) -> Sequence[SyntheticScan]:
        if self.order == "streams":
            return drive
        rng = np.random.default_rng(derive_seed(0, "walk", drive[0].sequence))
        return [drive[number] for number in rng.permutation(len(drive))]


def _run(name: str, check: Callable[[_Trial], None], trial: _Trial) -> Finding:
    try:
        with torch.random.fork_rng(devices=[]):
            check(trial)
    except Exception as error:
        return Finding(name, passed=False, detail=f"{type(error).__name__}: {error}")
    return Finding(name, passed=True)


def _require(condition: bool, complaint: str) -> None:
    if not condition:
        raise AssertionError(complaint)


def _backward(method: nn.Module, batch: Batch) -> float:
    """Value of the loss after a backward pass whose gradients are all finite."""
    torch.manual_seed(derive_seed(0, "step"))
    loss = method(batch)
    _require(isinstance(loss, Loss), f"forward returned {type(loss).__name__}, not Loss")
    for name, term in loss:
        _require(term.shape == (), f"term {name} has shape {tuple(term.shape)}, not ()")
        _require(bool(torch.isfinite(term)), f"term {name} is {term.item()}")
    loss.total.backward()
    for name, parameter in method.named_parameters():
        finite = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
        _require(finite, f"the gradient of {name} is not finite")
    return float(loss.total.detach())


def _check_loss(trial: _Trial) -> None:
    method = trial.build()
    for batch in trial.steps():
        _backward(method, batch)


def _check_student_learns(trial: _Trial) -> None:
    method = trial.build()
    _backward(method, trial.steps()[0])
    student = method.student
    for name, parameter in student.named_parameters():
        moved = parameter.grad is not None and bool(parameter.grad.any())
        _require(moved, f"no gradient reaches the student's {name}")


def _check_teacher_frozen(trial: _Trial) -> None:
    teacher = GridTeacher()
    teacher.gain.requires_grad_(True)
    _backward(trial.build(teacher=teacher), trial.steps()[0])
    leaked = teacher.gain.grad is not None and bool(teacher.gain.grad.any())
    _require(not leaked, "a gradient reaches the teacher: detach its features")


def _check_step(trial: _Trial) -> None:
    teacher = GridTeacher()
    method = trial.build(teacher=teacher)
    student = {name: value.clone() for name, value in method.student.named_parameters()}
    kept = {name: value.clone() for name, value in teacher.state_dict().items()}
    learning = [weight for weight in method.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD(learning, lr=0.1)
    _backward(method, trial.steps()[0])
    optimiser.step()
    for name, value in method.student.named_parameters():
        _require(not torch.equal(value, student[name]), f"a step leaves the student's {name}")
    for name, value in teacher.state_dict().items():
        _require(torch.equal(value, kept[name]), f"a step moves the teacher's {name}")


def _check_repeatable(trial: _Trial) -> None:
    first, second = trial.build(), trial.build()
    for number, batch in enumerate(trial.steps()):
        one, other = _backward(first, batch), _backward(second, batch)
        _require(one == other, f"step {number}: {one} and {other} from the same seed")
    company = company_of(trial.method, trial.settings)
    placed = accompanied([drive[0] for drive in trial.drives], trial.drives, company)
    plans = [trial.plan(placed) for _ in range(2)]
    same = all(
        np.array_equal(rows, others)
        for view, twin in zip(plans[0].views, plans[1].views, strict=True)
        for (_, rows), (_, others) in zip(view.parts, twin.parts, strict=True)
    )
    _require(same, "plan_views draws from something else than its rng")


def _check_state(trial: _Trial) -> None:
    original, restored = trial.build(), trial.build(seed=1)
    *early, last = trial.steps()
    for batch in early:
        original(batch)
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    one, other = _backward(original, last), _backward(restored, last)
    _require(one == other, f"loss {one} becomes {other} after saving and loading the state")


def _check_survey(trial: _Trial) -> None:
    method = trial.build()
    look: Any = getattr(method, "survey", None)
    if look is None:
        return
    weights = {name: value.clone() for name, value in method.named_parameters()}
    method.eval()
    with torch.no_grad():
        look(trial.steps())
    method.train()
    for name, value in method.named_parameters():
        _require(torch.equal(value, weights[name]), f"the survey changes {name}: only buffers may")
    for batch in trial.steps():
        _backward(method, batch)


def _check_one_scan(trial: _Trial) -> None:
    method = trial.build()
    for scan in trial.drives[0]:
        _backward(method, trial.batch([scan]))


def _check_no_superpixels(trial: _Trial) -> None:
    method = trial.build()
    for batch in trial.steps():
        ids = batch.images.superpixels
        nowhere = None if ids is None else torch.full_like(ids, -1)
        images = replace(batch.images, superpixels=nowhere)
        _backward(method, replace(batch, images=images))


def _check_no_pairs(trial: _Trial) -> None:
    blind = [without_pairs(drive[0]) for drive in trial.drives]
    _backward(trial.build(), trial.batch(blind))


def _check_empty_view(trial: _Trial) -> None:
    method = trial.build()
    first, second = trial.drives
    _backward(method, trial.batch([without_pairs(first[0]), second[0]]))
    _backward(method, trial.batch([first[1], second[1]]))


def _check_empty_scan(trial: _Trial) -> None:
    method = trial.build()
    first, second = trial.drives
    void = replace(without_pairs(first[1]), xyz=np.zeros((0, 3), dtype=np.float32))
    for scans in ([first[0], second[0]], [void, second[1]], [first[2], second[2]]):
        _backward(method, trial.batch(scans))


_CHECKS: dict[str, Callable[[_Trial], None]] = {
    "the loss is a finite scalar": _check_loss,
    "gradients reach the student": _check_student_learns,
    "no gradient reaches the teacher": _check_teacher_frozen,
    "a step moves the student and not the teacher": _check_step,
    "the same seed gives the same loss": _check_repeatable,
    "the state survives saving and loading": _check_state,
    "a survey changes no weight": _check_survey,
    "a batch of one scan is survived": _check_one_scan,
    "a batch without pairs is survived": _check_no_pairs,
    "a batch without superpixels is survived": _check_no_superpixels,
    "a view that no camera sees is survived": _check_empty_view,
    "an empty scan is survived": _check_empty_scan,
}
