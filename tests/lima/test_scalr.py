"""ScaLR against its definition pair by pair, and what it asks to be shown."""

import numpy as np
import pytest
import torch

from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.methods.scalr import Scalr
from lima_bench.lima.rows import row_of_point
from lima_bench.lima.synthetic import (
    GRID_SIZE,
    IMAGE_SIZE,
    GridTeacher,
    TinyStudent,
    alone,
    random_drive,
    without_pairs,
)
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import ScanInput, View, ViewPlan, plain_plan, plan_views


def _method(**settings):
    torch.manual_seed(0)
    return Scalr(ScalrSettings(**settings), GridTeacher(), TinyStudent()).double()


def _scans():
    return [random_drive(name, frames=1, points=40)[0] for name in ("a", "b")]


def _pixel(grid, row, col):
    """Bilinear with corners on corners."""
    y, x = (
        p * (g - 1) / (s - 1) for p, g, s in zip((row, col), GRID_SIZE, IMAGE_SIZE, strict=True)
    )
    top, left = min(int(y), GRID_SIZE[0] - 2), min(int(x), GRID_SIZE[1] - 2)
    down, right = y - top, x - left
    near = grid[top, left] * (1 - right) + grid[top, left + 1] * right
    far = grid[top + 1, left] * (1 - right) + grid[top + 1, left + 1] * right
    return near * (1 - down) + far * down


def _written_out(method, batch):
    points = method.head(method.student(batch.voxels))
    row_of = {int(point): row for row, point in enumerate(batch.source)}
    pairs = torch.stack(
        [batch.pairs.point, batch.pairs.image, batch.pairs.row, batch.pairs.col], 1
    ).tolist()
    terms = []
    for point, image, row, col in pairs:
        if point in row_of:
            s, q = points[row_of[point]], _pixel(batch.images.grids[image], row, col)
            terms.append((s / s.norm() - q / q.norm()).norm())
    return torch.stack(terms).mean()


@pytest.mark.parametrize("cameras", ["all", "one"])
@pytest.mark.parametrize("student_input", ["full", "visible"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_value_and_gradients_equal_the_definition(cameras, student_input, head):
    method = _method(cameras=cameras, student_input=student_input, head=head, head_width=7)
    scans = _scans()
    inputs = [one.input for one in alone(scans)]
    plan = plan_views(Scalr, method.settings, inputs, np.random.default_rng(1))
    batch = collate(scans, plan, dtype=torch.float64)
    loss, expected = method(batch).total, _written_out(method, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    weights = [parameter for parameter in method.parameters() if parameter.requires_grad]
    for one, other in zip(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_pairs_of_points_that_the_student_does_not_see_do_not_count():
    method, scans = _method(), _scans()
    some = tuple(
        View(((number, np.arange(1, len(scan.xyz), 3)),)) for number, scan in enumerate(scans)
    )
    batch = collate(scans, ViewPlan(some, (None, None)), dtype=torch.float64)
    torch.testing.assert_close(method(batch).total, _written_out(method, batch))


def test_mixed_views_play_no_part():
    """A pair belongs to the scan's own view, wherever else its point turns up."""
    scans = _scans()
    plain = plain_plan([one.input for one in alone(scans)])
    twice = ViewPlan((*plain.views, plain.views[1]), plain.cameras)
    once, again = (collate(scans, plan, dtype=torch.float64) for plan in (plain, twice))
    assert row_of_point(again).tolist() == row_of_point(once).tolist() == list(range(80))


def test_one_camera_means_its_pairs_only_and_every_camera_has_its_turn():
    settings, inputs = ScalrSettings(cameras="one"), [one.input for one in alone(_scans())]
    rng = np.random.default_rng(0)
    plans = [plan_views(Scalr, settings, inputs, rng) for _ in range(40)]
    assert all(len(kept) == 1 for plan in plans for kept in plan.cameras)
    assert {kept[0] for plan in plans for kept in plan.cameras} == {0, 1, 2}
    assert all(len(plan.views[0].parts[0][1]) == len(inputs[0].xyz) for plan in plans)


def test_visible_input_is_what_the_kept_cameras_see():
    inputs = [one.input for one in alone(_scans())]
    settings = ScalrSettings(cameras="one", student_input="visible")
    plan = plan_views(Scalr, settings, inputs, np.random.default_rng(0))
    for scan, view, kept in zip(inputs, plan.views, plan.cameras, strict=True):
        seen = {
            int(p) for p, c in zip(scan.pairs.point, scan.pairs.camera, strict=True) if c in kept
        }
        ((_, part),) = view.parts
        assert part.tolist() == sorted(seen)


def test_a_scan_that_no_camera_sees_keeps_all_cameras_and_shows_nothing():
    blind = without_pairs(_scans()[0])
    scan = ScanInput(blind.xyz, blind.sequence, blind.pairs)
    settings = ScalrSettings(cameras="one", student_input="visible")
    plan = plan_views(Scalr, settings, [scan], np.random.default_rng(0))
    assert plan.cameras == (None,)
    assert len(plan.views[0].parts[0][1]) == 0


def test_nothing_is_learnt_on_the_image_side():
    method = _method()
    names = {name for name, parameter in method.named_parameters() if parameter.requires_grad}
    assert {name for name in names if not name.startswith("student.")} == {
        "head.weight",
        "head.bias",
    }


def test_a_hidden_layer_stands_between_student_and_teacher():
    """ScaLR+: Linear, ReLU, Linear; the same distance of what comes out."""
    torch.manual_seed(0)
    method = Scalr(ScalrSettings(head="mlp", head_width=11), GridTeacher(), TinyStudent()).double()
    kinds = [type(part).__name__ for part in (*method.head.hidden, method.head.last)]
    assert kinds == ["Linear", "ReLU", "Linear"]
    assert [*method.head.last.weight.shape] == [5, 11]
    batch = collate(_scans(), dtype=torch.float64)
    loss, expected = method(batch).total, _written_out(method, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    weights = list(method.head.parameters()) + list(method.student.parameters())
    for one, other in zip(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_the_linear_head_starts_as_ever():
    """New settings left the default's draws where they were."""
    torch.manual_seed(3)
    method = Scalr(ScalrSettings(), GridTeacher(), TinyStudent())
    torch.manual_seed(3)
    GridTeacher(), TinyStudent()
    assert torch.equal(method.head.weight, torch.nn.Linear(8, 5).weight)


def test_a_plan_without_a_view_per_scan_is_refused():
    class Careless:
        @staticmethod
        def plan_views(settings, scans, rng):
            plan = plan_views(object, settings, scans[:1], rng)
            return plan

    with pytest.raises(ValueError, match="one view"):
        plan_views(
            Careless,
            ScalrSettings(),
            [one.input for one in alone(_scans())],
            np.random.default_rng(0),
        )
