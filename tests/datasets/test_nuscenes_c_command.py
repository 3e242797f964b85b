"""The command that corrupts a nuScenes: writes what is asked for, tells what cannot be."""

from pathlib import Path

import pytest

from lima_bench.datasets.nuscenes_c.__main__ import main
from lima_bench.datasets.world.recording import Recording

Written = tuple[Path, list[Recording]]


def test_only_what_is_asked_for(nuscenes_root: Written, tmp_path: Path) -> None:
    out = tmp_path / "nuscenes_c"
    words = [str(nuscenes_root[0]), str(out), "--only", "fog-light, beam_missing-*"]
    assert main(words) == 0
    trees = {tree.parent.name + "-" + tree.name for tree in (out / "nuScenes-C").glob("*/*")}
    assert trees == {f"beam_missing-{level}" for level in ("light", "moderate", "heavy")} | {
        "fog-light"
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{root}", "{out}", "--only", "fogg-*"], 'no corruption and level "fogg-*"'),
        (["{out}/nowhere", "{out}"], "LIMA_BENCH_DATA"),
        (["{root}", "{out}", "--split", "vall"], 'Did you mean "val"'),
    ],
)
def test_wrong_input_gets_one_message(
    words: list[str],
    told: str,
    nuscenes_root: Written,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    filled = [word.format(root=nuscenes_root[0], out=out) for word in words]
    assert main(filled) == 2
    assert told in capsys.readouterr().err and not out.exists()
