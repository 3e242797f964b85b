"""The world's classes against the cards of the formats that it is written in."""

import numpy as np
import pytest

from lima_bench.datasets.api import DATASETS
from lima_bench.datasets.world.labels import (
    KITTI_MOVING_RAW,
    KITTI_RAW,
    NAMES,
    NUSCENES_16,
    NUSCENES_CATEGORY,
    NUSCENES_RAW,
    SCORED_16,
    SCORED_19,
    Label,
)
from lima_bench.datasets.world.materials import COLOUR, DROP_OUT, OPTICS, REFLECTIVITY, Material


def test_every_class_has_names_in_every_format() -> None:
    assert set(NAMES) == set(Label)
    assert [int(label) for label in Label] == list(range(len(Label)))


def test_nuscenes_names_and_ids_are_those_of_the_card() -> None:
    card = DATASETS.get("nuscenes").card
    for label in Label:
        raw = int(NUSCENES_RAW[label])
        assert card.raw_names[raw] == NUSCENES_CATEGORY[label], label
    np.testing.assert_array_equal(card.remap(NUSCENES_RAW), SCORED_16)
    assert card.class_names == NUSCENES_16


@pytest.mark.parametrize("table", [KITTI_RAW, KITTI_MOVING_RAW])
def test_semantickitti_ids_are_those_of_the_card(table: np.ndarray) -> None:
    card = DATASETS.get("semantickitti").card
    assert not card.unknown(table)
    np.testing.assert_array_equal(card.remap(KITTI_RAW), SCORED_19)


def test_moving_ids_name_the_same_thing_moving() -> None:
    names = DATASETS.get("semantickitti").card.raw_names
    for label in (Label.CAR, Label.TRUCK, Label.BUS_RIGID, Label.ADULT, Label.RIDDEN_BICYCLE):
        still, moving = int(KITTI_RAW[label]), int(KITTI_MOVING_RAW[label])
        assert names[moving] == f"moving-{names[still]}"


def test_every_scored_class_occurs_in_the_world() -> None:
    assert set(range(16)) <= set(SCORED_16.tolist())
    assert set(range(19)) <= set(SCORED_19.tolist())


def test_materials_are_complete_and_another_taxonomy() -> None:
    assert set(OPTICS) == set(Material)
    assert len(COLOUR) == len(REFLECTIVITY) == len(DROP_OUT) == len(Material)
    assert not {material.name for material in Material} & {label.name for label in Label}
