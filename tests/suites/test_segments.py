"""Which masks a row reads: what enters keys, what is missing, what tables say of stand-ins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Camera, Frame, Sample, Source
from lima_bench.lima.image_store import ImageStore
from lima_bench.suites import stages
from lima_bench.suites.chain import Identity
from lima_bench.suites.code import CodeKeys
from lima_bench.suites.drafts import merged
from lima_bench.suites.expand import mask_folders
from lima_bench.suites.identity import with_masks
from lima_bench.suites.job import Job
from lima_bench.suites.known import Known
from lima_bench.suites.load import load
from lima_bench.suites.tables import _stand_ins
from lima_bench.suites.work import Context

CSC = "superpixels/nuscenes/superpixels_dinov2_ade20k"
FILES = Identity(manifests={"nuscenes": "files"}, masks={CSC: "first"})


@pytest.fixture
def known(known_with) -> Known:
    return known_with(("random", "slidr", "csc"))


def cut(expansion, row: str) -> Job:
    """The superpixels job of a row."""
    taught = next(found for found in expansion.rows if found.row.id == row)
    assert not taught.missing, taught.missing
    (key,) = taught.pretrain.values()
    return expansion.jobs[expansion.jobs[key].inputs["superpixels"]]


@pytest.fixture
def paper(expanded, known):
    """The superpixels job of CSC over files."""

    def run(identity: Identity = FILES, *sets: str) -> Job:
        rows = ("rows.csc-r50.teacher=vit_b", *sets)
        return cut(
            expanded("table1", "paper", known, rows, identity=identity, only="csc-r50", seeds=(0,)),
            "csc-r50",
        )

    return run


def test_slic_enters_with_all_its_settings(expanded, known) -> None:
    job = cut(expanded("table1", "embedded", known), "slidr")
    assert job.config["kind"] == job.config["segmenter"] == "slic"
    assert job.config["settings"] == {"n_segments": 60, "compactness": 6.0, "sigma": 3.0}
    assert set(job.inputs) == {"world nuscenes"}
    assert job.title == "superpixels slic nuscenes"


def test_a_stand_in_is_made_of_the_rows_own_features(expanded, known) -> None:
    table = expanded("table1", "embedded", known)
    job = cut(table, "csc")
    (pretrain,) = next(row for row in table.rows if row.row.id == "csc").pretrain.values()
    assert job.inputs["features"] == table.jobs[pretrain].inputs["features"]
    assert (job.config["segmenter"], job.config["settings"]) == ("kmeans", {"n_ids": 24})
    assert job.title == "superpixels semantic kmeans nuscenes"
    other = expanded("table1", "embedded", known, ("pretrain.semantic.settings.n_ids=9",))
    assert cut(other, "csc").config["settings"] == {"n_ids": 9}
    assert cut(other, "csc").key != job.key and cut(other, "slidr").key == cut(table, "slidr").key


def test_files_count_by_content_and_never_by_place(paper) -> None:
    job = paper()
    assert job.config["files"] == "first" and job.runtime == {"path": CSC}
    assert job.config["settings"] == {"first_id": 1, "n_ids": 150}
    assert paper(replace(FILES, masks={CSC: "second"})).key != job.key
    elsewhere = replace(FILES, masks={"masks/ade": "first"})
    settings = "{path: masks/ade, first_id: 1, n_ids: 150}"
    moved = paper(elsewhere, f"pretrain.semantic={{segmenter: folder, settings: {settings}}}")
    assert moved.key == job.key and moved.runtime == {"path": "masks/ade"}


def test_missing_masks_are_a_reason(expanded, known) -> None:
    def reason(*sets: str, identity: Identity = FILES) -> str:
        table = expanded(
            "table1",
            "paper",
            known,
            ("rows.csc-r50.teacher=vit_b", *sets),
            identity=identity,
            only="csc-r50",
        )
        return table.rows[0].missing

    assert reason() == ""
    absent = replace(FILES, masks={})
    assert reason(identity=absent) == f"no masks: {CSC} does not lie below the data root"
    assert "no source of semantic masks" in reason("pretrain.semantic=null")


def test_surveys_are_only_of_methods_that_hold_them(expanded, known) -> None:
    def recipe(row: str, *sets: str) -> dict:
        table = expanded("table1", "embedded", known, sets)
        (key,) = next(found for found in table.rows if found.row.id == row).pretrain.values()
        return table.jobs[key].config["recipe"]

    assert recipe("csc")["survey_frames"] == 60
    assert recipe("slidr") == recipe("slidr", "pretrain.survey_frames=7")
    assert not {"superpixels", "semantic", "instances", "survey_frames"} & set(recipe("slidr"))


def test_another_segmenter_replaces_the_whole_choice() -> None:
    base = {"semantic": {"segmenter": "kmeans", "settings": {"n_ids": 17}}}
    same = {"semantic": {"settings": {"n_ids": 9}}}
    other = {"semantic": {"segmenter": "folder", "settings": {"path": "x"}}}
    assert merged(base, same)["semantic"] == {"segmenter": "kmeans", "settings": {"n_ids": 9}}
    assert merged(base, other) == other


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pretrain.semantic.segmenter=kmean", 'no segmenter "kmean". Did you mean "kmeans"?'),
        ("pretrain.semantic.settings.classes=3", "settings.classes: Extra inputs"),
        ("pretrain.instances={segmenter: folder}", "settings.path: Field required"),
        ("pretrain.survey_frames=0", "greater than or equal to 1"),
    ],
)
def test_faults_of_a_source_name_their_place(known, text: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load("table1", "embedded", known, (text,))
    assert f"--set {text}" in str(caught.value) and expected in str(caught.value)


def test_folders_are_digested_by_names_and_sizes(known, tmp_path: Path) -> None:
    loaded = load("table1", "paper", known, ())
    assert mask_folders(loaded, known, FILES) == {CSC}
    folder = tmp_path / CSC
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"12")

    def digest() -> str:
        return with_masks(Identity(), {CSC, "nowhere"}, tmp_path).masks[CSC]

    assert set(with_masks(Identity(), {CSC, "nowhere"}, tmp_path).masks) == {CSC}
    first = digest()
    (folder / "a.png").write_bytes(b"34")
    assert digest() == first
    (folder / "a.png").write_bytes(b"345")
    assert digest() != first
    (folder / "a.png").write_bytes(b"12")
    (folder / "b.png").touch()
    assert digest() != first


def test_without_a_root_records_or_guesses_stand_for_files() -> None:
    guessed = with_masks(Identity(provisional=True), {CSC}, None)
    assert guessed.masks == {CSC: "unknown"}
    known = with_masks(Identity(provisional=True), {CSC}, None, lambda: {CSC: "recorded"})
    assert known.masks == {CSC: "recorded"}
    assert with_masks(Identity(), {CSC}, None).masks == {}


def test_an_edit_of_a_plug_in_makes_its_masks_stale(paper) -> None:
    job = paper()
    codes = [
        CodeKeys({"superpixels": "code"}, {"segmenter folder": digest}).own(job)
        for digest in ("one", "two")
    ]
    assert len({*codes, CodeKeys({"superpixels": "code"}).own(job)}) == 3


def test_the_table_says_what_stands_in_and_where(expanded, known) -> None:
    table = expanded("table1", "embedded", known)
    (line,) = _stand_ins(SimpleNamespace(expansion=table))
    assert line == "segments: stand-in (k-means of the teacher's features): CSC"
    alone = expanded("table1", "embedded", known, only="slidr")
    assert _stand_ins(SimpleNamespace(expansion=alone)) == []


def test_the_stage_reads_a_folder_below_the_data_root(monkeypatch, tmp_path: Path) -> None:
    ids = np.arange(32, dtype=np.uint8).reshape(4, 8) % 3
    image = tmp_path / "image.png"
    Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(image)
    (tmp_path / "masks").mkdir()
    Image.fromarray(ids).save(tmp_path / "masks" / "token.png")
    camera = Camera("CAM", "token", image, np.eye(3), np.eye(4), 8, 4)
    none = np.zeros((0, 3), np.float32)
    source = Source(
        SimpleNamespace(name="one"),
        [Frame("f", "s", 0, 0.0)],
        lambda frame: Sample(frame, none, none[:, 0], cameras=(camera,)),
    )
    monkeypatch.setattr(stages, "source_of", lambda context, role: source)
    config = {"segmenter": "folder", "settings": {"first_id": 1}, "image_size": [2, 4]}
    context = Context(
        job=Job("superpixels", 1, config, runtime={"path": "masks"}),
        artifact=tmp_path / "out",
        state=tmp_path,
        inputs={},
        artifacts={},
        report=lambda *_: None,
        data=tmp_path,
        device="cpu",
        processes=1,
        workers=0,
    )
    outcome = stages.cache_superpixels(context)
    expected = ids[::2, ::2].astype(int) - 1
    assert outcome.scores["slots"] == 2 and outcome.details == {"masks": "masks"}
    assert outcome.scores["covered"] == pytest.approx((expected >= 0).mean())
    stored = ImageStore(tmp_path / "out").array[0].astype(int)
    assert np.array_equal(np.where(stored == 65_535, -1, stored), expected)
