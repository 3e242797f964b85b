import errno
import json
import multiprocessing
import tempfile
from pathlib import Path

import pytest

from lima_bench.common.errors import UserError
from lima_bench.results import record as record_module
from lima_bench.results import store as store_module
from lima_bench.results import upgrade
from lima_bench.results.record import Record
from lima_bench.results.store import Store

KEY = "0123456789abcdef" * 4
OTHER = "f" * 64

FORMAT_1 = """{
 "config": {"method": "lima"}, "details": {}, "format": 1,
 "inputs": {"pretrain": "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
 "key": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
 "measured": {"wall_hours": 0.25}, "provenance": {"commit": "abc"},
 "scores": {"miou": 0.3141592653589793}, "seed": 2, "stage": "linear_probe", "version": 1
}"""


def make(key=KEY, stage="linear_probe", **changes):
    return Record(key=key, stage=stage, version=1, config={}, seed=0, **changes)


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "runs")


def lay(store, text, key=KEY, stage="linear_probe"):
    path = store.record_path(stage, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_gives_back_what_was_put(store):
    wanted = make(scores={"miou": 0.1 + 0.2})
    path = store.put(wanted)
    assert path == store.root / "linear_probe" / "01" / f"{KEY}.json"
    assert Store.open(store.root).get("linear_probe", KEY) == wanted
    assert store.get("linear_probe", OTHER) is None
    assert store.get("finetune", KEY) is None


def test_lists_records_in_order_and_nothing_else(store):
    for key, stage in ((OTHER, "pretrain"), (KEY, "pretrain"), (KEY, "finetune")):
        store.put(make(key, stage))
    lay(store, "half", key=OTHER, stage="finetune").rename(
        store.record_path("finetune", OTHER).with_name(f".{OTHER}.json.tmp")
    )
    stray = store.root / "artifacts" / KEY[:2] / f"{KEY}.json"
    stray.parent.mkdir(parents=True)
    stray.write_text("{}")
    found = [(r.stage, r.key) for r in store.records()]
    assert found == [("finetune", KEY), ("pretrain", KEY), ("pretrain", OTHER)]
    assert [r.stage for r in store.records("finetune")] == ["finetune"]


def test_opening_makes_a_marked_folder_and_opening_again_changes_nothing(tmp_path):
    root = tmp_path / "deep" / "runs"
    Store.open(root)
    assert json.loads((root / "store.json").read_text()) == {"format": 1}
    before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    Store.open(root)
    assert {path: path.stat().st_mtime_ns for path in root.iterdir()} == before


def test_hidden_files_do_not_make_a_folder_foreign(tmp_path):
    (tmp_path / ".gitignore").write_text("*")
    assert Store.open(tmp_path).put(make()).is_file()


def test_looking_at_an_absent_store_finds_nothing_and_makes_nothing(tmp_path):
    store = Store.open(tmp_path / "runs", write=False)
    assert list(store.records()) == []
    assert store.get("pretrain", KEY) is None
    assert not (tmp_path / "runs").exists()


def test_failure_is_remembered_until_success(store):
    assert store.failure(KEY) is None
    store.note_failure(KEY, "loss is NaN at step 12")
    assert Store.open(store.root).failure(KEY) == "loss is NaN at step 12"
    store.put(make())
    assert store.failure(KEY) is None


def test_clearing_a_partial_folder(store):
    store.clear_partial(KEY)
    store.partial(KEY).mkdir(parents=True)
    (store.partial(KEY) / "state").write_text("x")
    store.clear_partial(KEY)
    assert not store.partial(KEY).exists()


def _try_lock(root, answers):
    with Store.open(Path(root)).lock(KEY) as got:
        answers.put(got)


def test_only_one_process_holds_a_job(store):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    for held in (True, False):
        worker = context.Process(target=_try_lock, args=(str(store.root), answers))
        if held:
            with store.lock(KEY) as got:
                assert got
                worker.start()
                worker.join()
        else:
            worker.start()
            worker.join()
        assert answers.get(timeout=5) is not held


@pytest.mark.parametrize("key", ["short", "../" * 21 + "x", "G" * 64, KEY + "0"])
def test_refuses_what_is_no_key(store, key):
    for place in (store.artifact, store.partial, store.sacred, store.lock):
        with pytest.raises(ValueError, match="key"):
            place(key)


@pytest.mark.parametrize("stage", ["artifacts", "../x", "", "Pretrain"])
def test_refuses_what_is_no_stage(store, stage):
    with pytest.raises(ValueError, match="stage"):
        store.get(stage, KEY)


class TestWrongPlaces:
    def test_a_file(self, tmp_path):
        (tmp_path / "runs").write_text("")
        for write in (True, False):
            with pytest.raises(UserError, match="This is a file") as caught:
                Store.open(tmp_path / "runs", write=write)
            assert "--store DIR" in caught.value.how

    def test_below_a_file(self, tmp_path):
        (tmp_path / "note").write_text("")
        with pytest.raises(UserError, match="A file stands where a folder is needed"):
            Store.open(tmp_path / "note" / "runs")

    def test_a_folder_of_other_things(self, tmp_path):
        (tmp_path / "events.out.tfevents").write_text("")
        with pytest.raises(UserError, match="it is no store"):
            Store.open(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["events.out.tfevents"]

    @pytest.mark.parametrize(
        ("code", "message"),
        [(errno.EROFS, "read-only"), (errno.EACCES, "may not write"), (errno.ENOSPC, "is full")],
    )
    def test_read_only_or_full(self, store, monkeypatch, code, message):
        def refuse(**_):
            raise OSError(code, "refused")

        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
        with pytest.raises(UserError, match=message) as caught:
            Store.open(store.root)
        assert caught.value.where == str(store.root)
        assert caught.value.how
        assert Store.open(store.root, write=False).root == store.root

    def test_a_file_where_a_stage_is_needed(self, store):
        (store.root / "linear_probe").write_text("")
        assert store.get("linear_probe", KEY) is None
        with pytest.raises(UserError, match="A file stands where a folder is needed"):
            store.put(make())

    def test_disk_full_while_writing_leaves_the_old_record(self, store, monkeypatch):
        path = store.put(make(scores={"miou": 1.0}))

        def full(*_):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(UserError, match="disk is full"):
            store.put(make(scores={"miou": 2.0}))
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        assert store.get("linear_probe", KEY).scores == {"miou": 1.0}


class TestDamage:
    @pytest.mark.parametrize(
        "text",
        ["", FORMAT_1[:100], "[]", "null", '{"format": 1}', FORMAT_1.replace("0.314", "x")],
        ids=["empty", "truncated", "list", "null", "bare", "no number"],
    )
    def test_damaged_record_is_named_with_remedy(self, store, text):
        path = lay(store, text)
        for read in (lambda: store.get("linear_probe", KEY), lambda: list(store.records())):
            with pytest.raises(UserError, match="damaged") as caught:
                read()
            assert caught.value.where == str(path)
            assert "Delete this file" in caught.value.how

    def test_bytes_that_are_no_text(self, store):
        path = lay(store, "")
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UserError, match="damaged"):
            store.get("linear_probe", KEY)

    def test_folder_in_place_of_a_record(self, store):
        store.record_path("linear_probe", KEY).mkdir(parents=True)
        with pytest.raises(UserError, match="cannot be read"):
            store.get("linear_probe", KEY)

    def test_record_of_another_job(self, store):
        lay(store, FORMAT_1, key=OTHER)
        with pytest.raises(UserError, match="belongs to another job"):
            store.get("linear_probe", OTHER)

    @pytest.mark.parametrize("text", ["", "{}", '{"format": "1"}', '{"format": true}', "[1]"])
    def test_marker_without_a_number(self, store, text):
        (store.root / "store.json").write_text(text)
        with pytest.raises(UserError, match="format number"):
            Store.open(store.root)

    def test_damaged_note_of_failure(self, store):
        store.note_failure(KEY, "x")
        (store.partial(KEY) / "failure.json").write_text("{")
        with pytest.raises(UserError, match="damaged"):
            store.failure(KEY)


class TestFormats:
    def test_a_file_of_format_1_stays_readable(self, store):
        lay(store, FORMAT_1)
        record = store.get("linear_probe", KEY)
        assert record.scores == {"miou": 0.3141592653589793}
        assert (record.seed, record.inputs) == (2, {"pretrain": OTHER})
        assert record.measured == {"wall_hours": 0.25}

    def test_an_old_record_walks_every_step(self, store, monkeypatch):
        def percent(raw):
            return {**raw, "scores": {k: 100 * v for k, v in raw["scores"].items()}}

        def renamed(raw):
            return {**raw, "scores": {f"{k}_percent": v for k, v in raw["scores"].items()}}

        monkeypatch.setattr(upgrade, "RECORD_STEPS", {1: percent, 2: renamed})
        monkeypatch.setattr(record_module, "FORMAT", 3)
        lay(store, FORMAT_1)
        record = store.get("linear_probe", KEY)
        assert record.scores == {"miou_percent": 100 * 0.3141592653589793}
        assert record.format == 3

    def test_a_format_without_a_step_is_damage(self, store, monkeypatch):
        monkeypatch.setattr(record_module, "FORMAT", 2)
        lay(store, FORMAT_1)
        with pytest.raises(UserError, match="nothing upgrades format 1"):
            store.get("linear_probe", KEY)

    def test_a_newer_record_tells_to_upgrade(self, store):
        path = lay(store, FORMAT_1.replace('"format": 1', '"format": 2, "new_field": 0'))
        with pytest.raises(UserError, match="newer lima-bench") as caught:
            store.get("linear_probe", KEY)
        assert caught.value.where == str(path)
        assert "pip install --upgrade" in caught.value.how

    def test_a_newer_store_is_refused_and_left_alone(self, store):
        (store.root / "store.json").write_text('{"format": 7}')
        for write in (True, False):
            with pytest.raises(UserError, match="written by a newer lima-bench"):
                Store.open(store.root, write=write)
        assert (store.root / "store.json").read_text() == '{"format": 7}'

    def test_an_old_store_is_raised_once(self, store, monkeypatch):
        raised = []
        monkeypatch.setattr(upgrade, "LAYOUT_STEPS", {1: raised.append})
        monkeypatch.setattr(store_module, "FORMAT", 2)
        with pytest.raises(UserError, match="old format 1"):
            Store.open(store.root, write=False)
        Store.open(store.root)
        Store.open(store.root)
        assert raised == [store.root]
        assert json.loads((store.root / "store.json").read_text()) == {"format": 2}

    def test_an_old_store_without_a_step_is_refused(self, store, monkeypatch):
        monkeypatch.setattr(store_module, "FORMAT", 2)
        with pytest.raises(UserError, match="old format 1"):
            Store.open(store.root)
