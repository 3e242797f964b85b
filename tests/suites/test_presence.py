"""Who else works on this machine is noticed, however briefly, and the dead are no company."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lima_bench.suites.presence import Presence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "meeting"


def test_one_is_alone_until_it_leaves(folder: Path) -> None:
    one = Presence(folder)
    assert one.alone() and one.alone()
    one.leave()
    one.leave()
    assert not list(folder.iterdir())


def test_two_are_not_alone_and_one_of_them_never_was(folder: Path) -> None:
    one, two = Presence(folder), Presence(folder)
    assert not one.alone() and not two.alone()
    two.leave()
    assert not one.alone()
    one.leave()
    assert Presence(folder).alone()


def test_a_visit_that_is_over_was_noticed(folder: Path) -> None:
    one = Presence(folder)
    time.sleep(0.02)  # file systems count time in ticks of some milliseconds
    Presence(folder).leave()
    assert not one.alone()


def test_who_came_later_is_noticed_without_a_look_in_between(folder: Path) -> None:
    one = Presence(folder)
    time.sleep(0.02)
    two = Presence(folder)
    one.leave()
    assert not two.alone()


def test_a_killed_process_is_no_company(folder: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from lima_bench.suites.presence import Presence\n"
        "shown = Presence(Path(sys.argv[1]))\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert done.returncode < 0
    assert len(list(folder.iterdir())) == 1
    assert Presence(folder).alone()


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is forbidden to root")
def test_where_nobody_may_write_nobody_is_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not Presence(tmp_path / "meeting").alone()


def test_where_no_folder_can_be_nobody_is_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = Presence(tmp_path / "file")
    assert not shown.alone()
    shown.leave()
