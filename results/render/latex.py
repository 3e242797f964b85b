"""A table as LaTeX: needs booktabs and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from lima_bench.results.table import ColumnMeta, RowMeta, Table
from lima_bench.results.view import Shown, View, column_marks, row_marks, view

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # at the head of a line it would be the argument of the line break before it
    "]": "{]}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "§": r"$\S$",
    "¶": r"$\P$",
    "‖": r"$\|$",
    "*": r"$*$",
    "∥": r"$\parallel$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
}
_TABLE = str.maketrans(_ESCAPES)


def to_latex(table: Table) -> str:
    r"""The table as a ``table*`` environment for a document that loads booktabs."""
    shown = view(table, glyphs=False)
    n_columns = len(table.columns)
    lines = (
        f"% Needs \\usepackage{{booktabs}}. {_comment(shown.footer[-1])}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        rf"\label{{tab:{_label(table)}}}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{l{'r' * n_columns}}}",
        r"\toprule",
        *_headers(shown),
        r"\midrule",
        *_body(shown),
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(shown),
        r"\end{table*}",
    )
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """`text` so that LaTeX prints it as it stands; a raw ``%`` would start a comment."""
    return text.translate(_TABLE)


def _headers(shown: View) -> Iterator[str]:
    groups = shown.column_groups
    if any(name for name, _ in groups):
        yield _line("", *(_spanning(name, span) for name, span in groups))
        yield " ".join(_rules(groups))
    yield _line("", *(_header(shown, column) for column in shown.table.columns))


def _spanning(name: str, span: int) -> str:
    return rf"\multicolumn{{{span}}}{{c}}{{{escape(name)}}}"


def _rules(groups: tuple[tuple[str, int], ...]) -> Iterator[str]:
    start = 2
    for name, span in groups:
        if name:
            yield rf"\cmidrule(lr){{{start}-{start + span - 1}}}"
        start += span


def _header(shown: View, column: ColumnMeta) -> str:
    number = shown.column_number.get(column.id, 0)
    return escape(column.heading) + _raised(column_marks(column), number)


def _body(shown: View) -> Iterator[str]:
    columns = shown.table.columns
    for n, (name, rows) in enumerate(shown.row_groups):
        if n:
            yield r"\midrule"
        if name and len(shown.row_groups) > 1:
            yield rf"\multicolumn{{{1 + len(columns)}}}{{l}}{{\textit{{{escape(name)}}}}} \\"
        for row in rows:
            yield _line(_title(shown, row), *(_cell(shown.shown(row, c)) for c in columns))
    if shown.protocols:
        yield r"\midrule"
        under = (shown.protocols.get(column.id, "") for column in columns)
        yield _line(r"\textit{protocol}", *(rf"{{\tiny {text}}}" if text else "" for text in under))


def _title(shown: View, row: RowMeta) -> str:
    return escape(row.title) + _raised(row_marks(row), shown.row_number.get(row.id, 0))


def _cell(cell: Shown) -> str:
    value = escape(cell.value)
    value = rf"\textbf{{{value}}}" if cell.best else value
    std = rf"\,{{\tiny$\pm${cell.std}}}" if cell.std else ""
    reference = rf" {{\tiny({escape(cell.reference)})}}" if cell.reference else ""
    return value + std + _raised(cell.marks, cell.number) + reference


def _raised(marks: str, number: int = 0) -> str:
    """Daggers and the number of a reason as one exponent."""
    signs = [escape(mark).strip("$") for mark in marks]
    signs += [str(number)] if number else []
    return f"$^{{{','.join(signs)}}}$" if signs else ""


def _line(*cells: str) -> str:
    return " & ".join(cells) + r" \\"


def _notes(shown: View) -> Iterator[str]:
    r"""Small print under the table; ``\par`` keeps it below, not beside."""
    notes = [f"{_raised(mark)} {escape(text)}." for mark, text in shown.legend]
    notes += [f"{_raised('', n)} {escape(text)}." for n, text in enumerate(shown.reasons, start=1)]
    notes += [escape(line) for line in shown.footer]
    yield r"\par\smallskip"
    yield r"\begin{minipage}{\linewidth}\scriptsize\raggedright"
    yield " \\\\\n".join(notes)
    yield r"\end{minipage}"


def _comment(text: str) -> str:
    return text.replace("\n", " ")


def _label(table: Table) -> str:
    name = f"{table.suite}-{table.profile}"
    return "".join(c if c.isalnum() or c == "-" else "-" for c in name)
