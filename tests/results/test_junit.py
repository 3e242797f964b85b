from dataclasses import replace
from xml.etree import ElementTree

from lima_bench.results.junit import to_junit


def test_every_cell_is_a_case_and_counts_agree(table):
    suite = ElementTree.fromstring(to_junit(table)).find("testsuite")
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.get("tests")) == 48
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(name)) == len([case for case in cases if case.find(tag) is not None])
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("2", "1", "22")


def test_messages_tell_numbers_and_reasons(table):
    cases = {
        (case.get("classname"), case.get("name")): case
        for case in ElementTree.fromstring(to_junit(table)).iter("testcase")
    }
    below = cases["table1.embedded.slidr", "nus-1%"].find("failure")
    assert below.get("message") == "below: 33.27 ± 0.37 against 60.00"
    failed = cases["table1.embedded.slidr", "nus-25%"].find("error")
    assert failed.get("message") == "failed (failed: loss is NaN at step 12)"
    assert len(cases["table1.embedded.lima", "nus-lp"]) == 0


def test_control_characters_do_not_break_the_file(table):
    at = ("slidr", "nus-25%")
    odd = replace(table.cells[at], reason="died \x1b[31mred\x00 & <b>")
    text = to_junit(replace(table, cells={**table.cells, at: odd}))
    assert "died ?[31mred? & <b>" in ElementTree.fromstring(text).find(".//testcase/error").get(
        "message"
    )
