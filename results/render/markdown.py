"""A table as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lima_bench.results.table import ColumnMeta, RowMeta, Table
from lima_bench.results.view import Shown, View, column_marks, row_marks, view

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\|*_`[]<>#~"})
_OUTCOMES = {"holds": "holds", "leans": "within spread", "fails": "fails", "untested": "not tested"}


def to_markdown(table: Table) -> str:
    """The table, its notes, orderings, costs and splits as one Markdown text."""
    shown = view(table)
    blocks = [f"## {_escape(table.title)}", *_blocks(shown)]
    if table.orderings:
        blocks += ["### Published orderings", _orderings(table)]
    if shown.costs:
        blocks += ["### Cost of pretraining", _costs(shown)]
    if table.splits:
        blocks += [f"### {_escape(table.splits.title)}", *_blocks(view(table.splits), within=True)]
    return "\n\n".join(blocks) + "\n"


def _blocks(shown: View, *, within: bool = False) -> Iterator[str]:
    """Grid, notes and footer; `within` another table without what that one says."""
    yield _grid(_lines(shown), n_text=1)
    notes = [f"{mark} {text}." for mark, text in shown.legend]
    notes += [f"<sup>{n}</sup> {_sentence(text)}" for n, text in enumerate(shown.reasons, start=1)]
    if notes:
        yield "\\\n".join(_escape_but_tags(note) for note in notes)
    lines = shown.table.notes if within else shown.footer
    if lines:
        yield "\\\n".join(_escape(line) for line in lines)


def _lines(shown: View) -> Iterator[list[str]]:
    columns = shown.table.columns
    yield ["", *(_header(shown, column) for column in columns)]
    for name, rows in shown.row_groups:
        if name and len(shown.row_groups) > 1:
            yield [f"*{_escape(name)}*", *([""] * len(columns))]
        for row in rows:
            yield [_title(shown, row), *(_cell(shown.shown(row, column)) for column in columns)]
    if shown.protocols:
        yield ["*protocol*", *(shown.protocols.get(column.id, "") for column in columns)]


def _header(shown: View, column: ColumnMeta) -> str:
    group = f"{_escape(column.group)}<br>" if column.group else ""
    title = _escape(column.heading + column_marks(column))
    return f"{group}{title}{_number(shown.column_number.get(column.id, 0))}"


def _title(shown: View, row: RowMeta) -> str:
    return _escape(row.title + row_marks(row)) + _number(shown.row_number.get(row.id, 0))


def _cell(cell: Shown) -> str:
    value = f"**{cell.value}**" if cell.best else cell.value
    std = f" ± {cell.std}" if cell.std else ""
    glyph = f" {cell.glyph}" if cell.glyph else ""
    reference = f" <sub>({cell.reference}{glyph})</sub>" if cell.reference else ""
    return f"{value}{std}{_escape(cell.marks)}{_number(cell.number)}{reference}"


def _number(number: int) -> str:
    return f"<sup>{number}</sup>" if number else ""


def _orderings(table: Table) -> str:
    lines = [["Order", "Here", "Weakest difference"]]
    lines += [[_escape(o.text), _OUTCOMES[o.outcome], _escape(o.detail)] for o in table.orderings]
    return _grid(lines, n_text=3)


def _costs(shown: View) -> str:
    lines = [["", *(title for title, _ in shown.costs)]]
    for row in shown.table.rows:
        if row.id in shown.table.costs:
            lines.append(
                [_escape(row.title), *(texts.get(row.id, "–") for _, texts in shown.costs)]
            )
    return _grid(lines, n_text=1)


def _grid(lines: Iterable[list[str]], *, n_text: int) -> str:
    """Cells between bars; the first `n_text` columns are text, the others numbers."""
    header, *body = lines
    rule = [":--" if n < n_text else "--:" for n in range(len(header))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *body))


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _escape(text: str) -> str:
    return text.translate(_SPECIAL)


def _escape_but_tags(note: str) -> str:
    head, tag, tail = note.partition("</sup>")
    return head + tag + _escape(tail) if tag else _escape(head)
