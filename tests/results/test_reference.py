import pytest

from lima_bench.common.errors import UserError
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.results import reference
from lima_bench.results.reference import Published, plain, read_published, references
from lima_bench.results.table import ColumnMeta, RowMeta

COUNTS = {
    "table1": 173,
    "table2": 84,
    "table3": 80,
    "efficiency": 50,
    "backbones": 18,
    "robustness": 16,
    "cleverdistiller": 3,
}
METHOD_IDS = {plain(METHODS.get(name).title): name for name in METHODS.names()}
TEACHER_IDS = {"ResNet-50": "resnet50", "ViT-S": "vit_s", "ViT-B": "vit_b", "ViT-L": "vit_l"}


def unique(metas):
    return list({meta.id: meta for meta in metas}.values())


def rows_of(numbers):
    """Rows as a suite has them: ids, not printed names."""
    return unique(
        RowMeta(
            id=f"{n.method}-{n.teacher}",
            title=n.method,
            method=METHOD_IDS[plain(n.method)],
            teacher=TEACHER_IDS.get(n.teacher, ""),
            student="minkunet34",
            frames=n.frames,
        )
        for n in numbers
    )


def columns_of(numbers):
    return unique(
        ColumnMeta(id=f"{n.dataset}-{n.setting}", title="", dataset=n.dataset, setting=n.setting)
        for n in numbers
    )


@pytest.mark.parametrize(("table", "count"), COUNTS.items())
def test_counts(table, count):
    assert len(read_published(table)) == count


def test_every_value_of_table_1_belongs_to_one_cell_and_three_cells_have_none():
    numbers = read_published("table1")
    rows, columns = rows_of(numbers), columns_of(numbers)
    found = references(numbers, rows, columns)
    assert (len(rows), len(columns), len(found)) == (22, 8, 173)
    dashes = {(r.id, c.id) for r in rows for c in columns} - found.keys()
    assert dashes == {(f"{m}-ResNet-50", "waymo-1%") for m in ("TriCC", "CSC", "HVDistill")}
    lima = found["LiMA-ViT-B", "nuscenes-LP"]
    assert (lima.value, lima.source) == (56.65, "LiMA (ICCV 2025)")


def test_a_row_that_sees_other_frames_has_no_published_number():
    numbers = read_published("table1")
    row = RowMeta(id="r", title="", method="lima", teacher="vit_b", student="minkunet34", frames=4)
    assert references(numbers, [row], columns_of(numbers)) == {}


@pytest.mark.parametrize(
    "changed", [{"student": "spvcnn"}, {"teacher": "tiny"}, {"method": "seal"}]
)
def test_another_student_teacher_or_method_has_none(changed):
    numbers = read_published("table1")
    right = {"method": "lima", "teacher": "vit_b", "student": "minkunet34", "frames": 6}
    columns = columns_of(numbers)
    assert len(references(numbers, [RowMeta(id="r", title="", **right)], columns)) == 8
    wrong = RowMeta(id="r", title="", **{**right, **changed})
    assert references(numbers, [wrong], columns) == {}


def test_costs_are_measures_of_their_own():
    numbers = read_published("efficiency")
    row = RowMeta(id="r", title="", method="lima", teacher="vit_b", frames=6)
    columns = [
        ColumnMeta(id="h", title="", metric="hours"),
        ColumnMeta(id="m", title="", metric="memory_gb"),
        ColumnMeta(id="lp", title="", dataset="nuscenes", setting="LP"),
    ]
    found = references(numbers, [row], columns)
    assert {at[1]: number.value for at, number in found.items()} == {
        "h": 17.9,
        "m": 29.07,
        "lp": 56.65,
    }


def test_detectors_stand_for_students():
    first = read_published("table3")[0]
    assert (first.student, first.metric, first.value) == ("VoxelNet+CenterPoint", "map", 38.0)


def test_disagreeing_sources_must_be_chosen():
    numbers = [
        Published(method="SLidR", dataset="nuscenes", setting="1%", value=38.3, source="paper"),
        Published(method="SLidR", dataset="nuscenes", setting="1%", value=39.0, source="README"),
    ]
    row = RowMeta(id="slidr", title="SLidR", method="slidr")
    column = ColumnMeta(id="1%", title="1%", dataset="nuscenes", setting="1%")
    with pytest.raises(UserError, match=r"38.3 \(paper\), 39.0 \(README\)"):
        references(numbers, [row], [column])
    found = references(numbers, [row], [column], source="README")
    assert found["slidr", "1%"].value == 39.0


def test_unknown_table_tells_what_there_is():
    with pytest.raises(UserError, match='Did you mean "table1"') as caught:
        read_published("tabel1")
    assert "robustness" in caught.value.how
    assert "orderings" not in caught.value.how


def test_readme_tells_every_file():
    text = (reference.PAPERS / "lima2025" / "README.md").read_text()
    for path in (reference.PAPERS / "lima2025").glob("*.csv"):
        assert f"`{path.name}`" in text
