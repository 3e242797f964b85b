"""Stage functions without training: they note every call, and do what a file tells them to.

``behave.json`` beside the store maps a stage to ``fail``, ``user``, ``slow``, ``forever``,
``die``, ``die-once``, ``large`` (it fills memory for a moment) or ``other`` (it gives another
result).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.suites.work import Context, Outcome

LARGE = 400_000_000

STAGES = {
    stage: f"fake_stages:{function}"
    for stage, function in {
        "world": "artifact",
        "features": "artifact",
        "superpixels": "artifact",
        "clusters": "artifact",
        "adopt": "artifact",
        "pretrain": "artifact",
        "linear_probe": "score",
        "finetune": "score",
    }.items()
}


def base(context: Context) -> Path:
    """The folder of the store; a job that is only measured works deeper in it than others."""
    (store,) = [path for path in context.artifact.parents if (path / "store.json").is_file()]
    return store.parent


def told(context: Context) -> str | None:
    path = base(context) / "behave.json"
    return json.loads(path.read_text()).get(context.job.stage) if path.exists() else None


def note(context: Context, text: str) -> None:
    with (base(context) / "calls.txt").open("a") as file:
        file.write(f"{text} {context.job.stage} {context.job.key} {os.getpid()}\n")


def behave(context: Context) -> None:
    note(context, "begin")
    if context.job.stage == "superpixels":
        sys.stderr.write("noise of superpixels\n")
    how = told(context)
    if how == "fail":
        raise ValueError("a defect")
    if how == "user":
        raise UserError("scan.bin", "It is truncated.", "Copy it again.")
    if how == "slow":
        time.sleep(0.3)
    if how == "large":
        assert len(b"x" * LARGE) == LARGE
    if how == "forever":
        time.sleep(600)
    attempts = context.state / "attempts"
    n_before = len(attempts.read_text()) if attempts.exists() else 0
    attempts.write_text("x" * (n_before + 1))
    if how == "die" or (how == "die-once" and n_before == 0):
        os.kill(os.getpid(), signal.SIGKILL)


def artifact(context: Context) -> Outcome:
    behave(context)
    for folder in context.artifacts.values():
        assert (folder / "content").is_file(), folder
    context.artifact.mkdir()
    (context.artifact / "content").write_text(context.job.key)
    context.report(1, 1, {"loss": 0.5})
    note(context, "end")
    return Outcome({"steps": 2.0 if told(context) == "other" else 1.0})


def score(context: Context) -> Outcome:
    behave(context)
    assert (context.artifacts["checkpoint"] / "content").is_file()
    context.report(1, 2)
    context.report(2, 2, {"loss": 0.25})
    note(context, "end")
    return Outcome({"miou": int(context.job.key[:4], 16) / 65536}, {"points": 3})
