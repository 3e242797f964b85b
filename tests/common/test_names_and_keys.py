"""Names are found or the nearest is shown; equal content, equal keys; one holder per lock."""

import pickle
import subprocess
import sys

import pytest

from lima_bench.common.errors import UserError, nearest, unknown_name
from lima_bench.common.hashing import canonical_json, digest, file_digest, tree_digest
from lima_bench.common.locks import locked
from lima_bench.common.optional import optional
from lima_bench.common.registry import Registry
from lima_bench.common.seeds import derive_seed


def test_an_unknown_name_shows_the_nearest_and_all():
    error = unknown_name("suite.yaml:3:5", "method", "superflw", ["superflow", "scalr"])
    assert str(error) == (
        'suite.yaml:3:5\n  There is no method "superflw". Did you mean "superflow"?\n'
        "  Known: scalr, superflow"
    )
    assert nearest("zzz", ["scalr"]) is None


def test_an_error_travels_whole_between_processes():
    error = pickle.loads(pickle.dumps(UserError("where", "what", "how")))
    assert (error.where, error.what, error.how) == ("where", "what", "how")


def test_order_and_spelling_never_change_a_digest():
    assert digest({"b": 1, "a": [1.5, None]}) == digest({"a": [1.5, None], "b": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_a_tree_is_known_by_names_and_contents(tmp_path):
    for name, text in (("a", "1"), ("b", "2")):
        (tmp_path / name).write_text(text)
    files = [tmp_path / "a", tmp_path / "b"]
    before = tree_digest(tmp_path, files)
    assert before == tree_digest(tmp_path, files[::-1])
    (tmp_path / "b").rename(tmp_path / "c")
    assert tree_digest(tmp_path, [tmp_path / "a", tmp_path / "c"]) != before
    assert file_digest(tmp_path / "a").startswith("6b86b273ff34fce1")  # SHA-256 of "1"


def test_seeds_differ_by_part_by_order_and_by_type():
    seeds = {derive_seed(*parts) for parts in ((1, "a"), ("a", 1), ("1", "a"), (1, "b"), (1,))}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "x") == derive_seed(0, "x")


def test_a_registry_loads_only_what_is_asked_for():
    registry = Registry[object](
        "thing", {"real": "json:dumps", "broken": "no_such_module_anywhere:x"}
    )
    assert registry.names() == ("broken", "real")
    assert registry.get("real") is __import__("json").dumps
    with pytest.raises(UserError, match='Did you mean "real"'):
        registry.get("rael")
    with pytest.raises(UserError, match="taken"):
        registry.add("real", object())
    with pytest.raises(ModuleNotFoundError):
        registry.get("broken")


def test_a_missing_package_names_its_extra():
    with pytest.raises(UserError, match=r"lima-bench\[slurm\]"):
        optional("no_such_package_anywhere", extra="slurm")
    with pytest.raises(UserError, match=r"lima-bench\[waymo\]"):
        optional("no_such_package_anywhere.inside", extra="waymo")


def test_a_lock_has_one_holder_and_dies_with_it(tmp_path):
    path = tmp_path / "locks" / "key.lock"
    ask = (
        "import sys; from pathlib import Path; from lima_bench.common.locks import locked\n"
        "with locked(Path(sys.argv[1]), wait=False) as got: print(got)"
    )
    command = [sys.executable, "-c", ask, str(path)]
    with locked(path, wait=True) as got:
        assert got
        assert subprocess.check_output(command, text=True).strip() == "False"
    assert subprocess.check_output(command, text=True).strip() == "True"
