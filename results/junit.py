"""Verdicts as JUnit XML, so that continuous integration lists them cell by cell. Pure."""

from __future__ import annotations

from xml.etree import ElementTree

from lima_bench.results.table import Cell, ColumnMeta, RowMeta, Table
from lima_bench.results.verdict import Verdict

_SKIPPED = frozenset({Verdict.MISSING, Verdict.STALE, Verdict.LIMITED, Verdict.NO_REFERENCE})


def to_junit(table: Table) -> str:
    """One test case per cell: `above` and `below` fail, `failed` is an error, holes are skipped."""
    suite = ElementTree.Element("testsuite", name=f"{table.suite}.{table.profile}")
    for row, column, cell in table:
        suite.append(_case(table, row, column, cell))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(table: Table, row: RowMeta, column: ColumnMeta, cell: Cell) -> ElementTree.Element:
    owner = f"{table.suite}.{table.profile}.{row.id}"
    case = ElementTree.Element("testcase", classname=owner, name=column.id)
    tag = _tag(cell.verdict)
    if tag:
        ElementTree.SubElement(case, tag, message=_printable(_message(cell)))
    return case


def _tag(verdict: Verdict) -> str:
    if verdict in _SKIPPED:
        return "skipped"
    return {
        Verdict.ABOVE: "failure",
        Verdict.BELOW: "failure",
        Verdict.FAILED: "error",
    }.get(verdict, "")


def _message(cell: Cell) -> str:
    said = str(cell.verdict)
    if cell.mean is not None and cell.reference is not None:
        std = "" if cell.std is None else f" ± {cell.std:.2f}"
        said += f": {cell.mean:.2f}{std} against {cell.reference:.2f}"
    return f"{said} ({cell.reason})" if cell.reason else said


def _printable(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
