"""The measured rows as they stand in `RESULTS.md`: ``python -m benchmarks.page``.

Offers `page_of`. The page keeps its words; between a pair of markers lies the table of a JSON file
beside it.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.report import load, markdown_of

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER / "RESULTS.md"
SECTION = re.compile(r"(<!-- rows of (\S+\.json) -->\n).*?(<!-- end -->)", re.DOTALL)


def page_of(text: str, folder: Path) -> str:
    """`text` with every section renewed whose file lies in `folder`."""

    def renewed(section: re.Match[str]) -> str:
        opening, name, closing = section.groups()
        path = folder / name
        if not path.is_file():
            return section.group(0)
        return f"{opening}\n{markdown_of(load(path))}\n\n{closing}"

    return SECTION.sub(renewed, text)


if __name__ == "__main__":
    PAGE.write_text(page_of(PAGE.read_text(), FOLDER))
