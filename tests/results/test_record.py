import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lima_bench.results.record import Record, from_fields, to_text

KEY = "ab" * 32


def record(**changes):
    fields = {
        "key": KEY,
        "stage": "linear_probe",
        "version": 1,
        "config": {"lr": 0.1, "labels": ["1%"]},
        "seed": 0,
        "inputs": {"pretrain": "cd" * 32},
        "scores": {"miou": 0.1 + 0.2},
        "measured": {"wall_hours": 0.5},
    }
    return Record(**{**fields, **changes})


@settings(derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_to_the_same_bits(value):
    again = from_fields(json.loads(to_text(record(scores={"miou": value}))))
    assert again.scores["miou"].hex() == value.hex()


def test_reading_gives_the_record_that_was_written():
    assert from_fields(json.loads(to_text(record()))) == record()


def test_fingerprint_leaves_out_time_and_place():
    plain = record()
    assert plain.fingerprint == record(measured={"wall_hours": 9.0}).fingerprint
    assert plain.fingerprint == record(provenance={"device": "H100"}).fingerprint
    assert plain.fingerprint != record(scores={"miou": math.nextafter(0.1 + 0.2, 1)}).fingerprint
    assert plain.fingerprint != record(details={"digest": "x"}).fingerprint


def test_fingerprint_survives_the_file():
    tuples = record(config={"cameras": ("front", "back")})
    assert from_fields(json.loads(to_text(tuples))).fingerprint == tuples.fingerprint


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="JSON"):
        to_text(record(scores={"miou": value}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": {}}, "unknown field 'score'"),
        ({"scores": [1]}, "'scores' holds list"),
        ({"version": True}, "'version' holds bool"),
        ({"seed": "0"}, "'seed' holds str"),
        ({"key": None}, "'key' holds NoneType"),
    ],
)
def test_names_the_field_that_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        from_fields({**json.loads(to_text(record())), **change})


@pytest.mark.parametrize("field", ["key", "stage", "version", "config", "seed"])
def test_names_the_field_that_is_missing(field):
    raw = json.loads(to_text(record()))
    del raw[field]
    with pytest.raises(ValueError, match=f"{field}.*missing"):
        from_fields(raw)
