"""When a run is scored during training, and which of its scores counts.

Offers `Evaluations`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lima_bench.common.files import write_atomic
from lima_bench.common.hashing import canonical_json
from lima_bench.downstream.recipes import ScoredSettings
from lima_bench.downstream.scores.result import Scores
from lima_bench.lima import ranks


class Evaluations:
    """Scores at evenly spaced steps, the last included; kept on disk in case the run is cut.

    Args:
        settings: How many times a run is scored, and whether the last score counts or the best.
        steps: Of the whole run.
        metric: By which scores are compared.
        folder: Of the interrupted run.
        score: Scores the network as it is; is told the step, and whether the result may be the one
            that counts.
    """

    def __init__(
        self,
        settings: ScoredSettings,
        *,
        steps: int,
        metric: str,
        folder: Path,
        score: Callable[[int, bool], Scores],
    ) -> None:
        self.steps, self.report, self.metric = steps, settings.report, metric
        self.folder, self.score = folder, score
        parts = max(settings.evaluations, 1)
        self.wanted = sorted({-(-steps * part // parts) for part in range(1, parts + 1)})
        self.done = {at: s for at in self.wanted if (s := self._read(at)) is not None}

    def observe(self, done: int) -> None:
        """Score if it is time; a score that is on disk already is not made again."""
        if done in self.wanted and done not in self.done:
            scores = self.score(done, done == self.steps or self.report == "best")
            self.done[done] = scores
            if ranks.rank() == 0:
                write_atomic(self._path(done), canonical_json(dataclasses.asdict(scores)))

    def reported(self) -> tuple[int, Scores]:
        """The step whose score counts, and the score."""
        self.observe(self.steps)
        if self.report == "last":
            return self.steps, self.done[self.steps]
        best = max(sorted(self.done), key=lambda at: self.done[at].scores[self.metric])
        return best, self.done[best]

    def course(self) -> dict[str, float]:
        """The compared score at every step where there is one."""
        return {str(at): scores.scores[self.metric] for at, scores in self.done.items()}

    def _path(self, at: int) -> Path:
        return self.folder / f"evaluation.{at}.json"

    def _read(self, at: int) -> Scores | None:
        if not self._path(at).is_file():
            return None
        content: dict[str, Any] = json.loads(self._path(at).read_text())
        return Scores(**content)
