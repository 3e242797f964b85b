"""What the published recipes of single methods change in those of their family."""

import pytest

from lima_bench.suites.drafts import Draft
from lima_bench.suites.load import builtin
from lima_bench.suites.recipe import read_recipe
from lima_bench.suites.yaml_lines import read_document


def _resolved(recipe, **chosen):
    draft = Draft.of(read_document(builtin("recipe")[recipe]))
    found = read_recipe(draft)
    assert not draft.errors
    return found.resolved(**chosen)


def test_tricc_is_shorter_and_sees_two_scans_per_device():
    settings, others = (_resolved("slidr-pretrain", method=method) for method in ("tricc", "slidr"))
    assert (settings["length"]["epochs"], settings["batch_size"]) == (20, 2)
    assert (others["length"]["epochs"], others["batch_size"]) == (50, 4)
    assert settings["optimiser"] == others["optimiser"]


@pytest.mark.parametrize("on", [None, "nuscenes", "semantickitti"])
def test_hvdistill_has_cartesian_voxels_wherever_it_is_asked(on):
    voxels = _resolved("slidr-student", method="hvdistill", on=on)["voxels"]
    assert (voxels["kind"], voxels["size"]) == ("cartesian", [0.1, 0.1, 0.1])
    assert _resolved("slidr-student", method="slidr", on=on)["voxels"]["kind"] == "cylindrical"


def test_hvdistill_turns_its_clouds_a_little_and_shifts_them():
    settings = _resolved("slidr-pretrain", method="hvdistill")
    augmentation = settings["augmentation"]
    assert augmentation["rotation_deg"] == pytest.approx(22.5)  # 0.39269 radians
    assert augmentation["translation_m"] == 0.5
    assert augmentation["scale"] == [0.9, 1.1]
    assert settings["optimiser"]["lr"] == 0.5
