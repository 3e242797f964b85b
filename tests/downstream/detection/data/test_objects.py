"""Which annotated boxes a detector learns, and as which columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection.boxes import COLUMNS
from lima_bench.downstream.detection.data.objects import facts_of, objects_of


def test_classes_that_any_sensor_has_hit(make_boxed, facts) -> None:
    source = make_boxed()
    sample = source.load(source.frames[0])
    objects = objects_of(sample, facts)
    # Debris is no class; the cone has neither a LiDAR nor a RADAR point, the child one of RADAR.
    np.testing.assert_array_equal(objects.label, [0, 0, 1, 1])
    assert objects.boxes.shape == (4, len(COLUMNS)) and objects.boxes.dtype == np.float32
    np.testing.assert_allclose(
        objects.boxes[0], [6.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.4, 1.0, 2.0], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(np.isnan(objects.boxes[:, 7:]).all(axis=1), [0, 0, 1, 0])


def test_a_frame_without_an_object_has_an_empty_table(make_boxed, facts) -> None:
    source = make_boxed(boxes=(("object.debris", 1, 1, 0, 1, 1, 1, 0, 9, 9),))
    objects = objects_of(source.load(source.frames[0]), facts)
    assert objects.boxes.shape == (0, 9) and objects.label.dtype == np.int64


def test_no_annotation_at_all_is_told(make_boxed, facts) -> None:
    source = make_boxed()
    sample = replace(source.load(source.frames[1]), boxes=None)
    with pytest.raises(UserError, match="no boxes") as caught:
        objects_of(sample, facts)
    assert caught.value.where == "frame a/1"


@pytest.mark.parametrize("part", ["centre", "size", "yaw"])
def test_boxes_that_lie_nowhere_are_refused(make_boxed, facts, part) -> None:
    """They would be in no grid and so be lost in silence."""
    source = make_boxed()
    sample = source.load(source.frames[1])
    values = getattr(sample.boxes, part).astype(float).copy()
    values[5] = np.nan  # the cone, which no sensor has hit
    boxes = replace(sample.boxes, **{part: values})
    assert len(objects_of(replace(sample, boxes=boxes), facts).label) == 4
    values[1] = np.nan
    with pytest.raises(UserError, match="1 of its boxes have numbers that are none") as caught:
        objects_of(replace(sample, boxes=boxes), facts)
    assert caught.value.where == "frame a/1"


def test_a_card_without_classes_of_boxes_is_told(make_boxed) -> None:
    card = make_boxed().card.model_copy(update={"detection": None})
    with pytest.raises(UserError, match="which classes of boxes"):
        facts_of(card)
