"""What the documents show works: the example method is a plug-in, the named commands exist."""

import re
from pathlib import Path

from lima_bench.lima.api import METHODS, load_plugin
from lima_bench.lima.testing import conformance
from lima_bench.suites.known import gather
from lima_bench.suites.verbs.methods import method_lines

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_method_passes_the_conformance_kit(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("## Add a method")[2].partition("## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.S)
    assert example.count("\n") <= 40
    (tmp_path / "mine.py").write_text(example)
    load_plugin(tmp_path / "mine.py")
    findings = conformance(METHODS.get("plain_cosine"))
    assert findings and all(finding.passed for finding in findings), findings


def test_every_verb_of_the_readme_exists() -> None:
    named = set(re.findall(r"lima-bench (\w+)", (ROOT / "README.md").read_text()))
    built = {path.stem for path in (ROOT / "suites" / "verbs").glob("*.py")}
    shown = (ROOT / "suites" / "cli.py").read_text()
    assert named
    assert {name for name in named if f'"{name}"' not in shown and name not in built} == set()


def test_the_table_of_methods_is_what_list_methods_prints() -> None:
    section = (ROOT / "README.md").read_text().partition("## What it measures")[2]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:3] == "| `"]
    written = {cells[0]: (cells[1], *cells[3:]) for cells in rows if len(cells) == 5}
    listed = {}
    methods = gather().methods  # other tests plug in some of their own
    ours = {name: card for name, card in methods.items() if isinstance(card.implementation, str)}
    for line in method_lines(ours):
        cells = re.split(r"\s{2,}", line)
        if len(cells) == 6 and cells[0] != "id":
            listed[f"`{cells[0]}`"] = (cells[1], cells[2], cells[5])
    assert written == listed
