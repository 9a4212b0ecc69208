"""Each code that a verdict, a control, a cue or a CMV can give has a sentence."""

from __future__ import annotations

import re

import pytest

from audit.findings import VALUES, Code, Reason
from audit.report.bridge_sentences import SENTENCES, english


def reason_of(code: Code, number: float | None) -> Reason:
    """A reason with all its values, the names "wolf" and the numbers as given."""
    names = VALUES.get(code, ())
    if code is Code.TAGS_FOUND:
        names = ("gain_1", "found_1", "tested_1", "gain_2", "found_2", "tested_2")
        number = number or 0
    counts = {"images", "judged", "missing", "rank", "unclear", "background", "asked"}
    values = {
        name: "wolf" if name in ("attracting_class", "layer") else 3 if name in counts else number
        for name in names
    }
    return Reason(code=code, values=values)


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize("number", [0.25, None])
def test_each_code_has_a_sentence_that_uses_its_values(code: Code, number: float | None) -> None:
    said = english(reason_of(code, number))
    assert said
    assert "{" not in said
    if any(name in VALUES.get(code, ()) for name in ("attracting_class", "layer")):
        assert "wolf" in said


def test_no_sentence_is_without_a_code() -> None:
    assert set(SENTENCES) == set(Code)


def test_percentages_and_intervals_are_said_as_people_read_them() -> None:
    values = {"gap": 0.446, "gap_low": 0.4, "gap_high": 0.512, "floor": 0.1, "q": 1e-18}
    said = english(Reason(code=Code.LOSS_EVERYWHERE, values=values))
    assert "falls by 45 points (95 % interval 40 to 51) more" in said
    assert "the floor is 10 and the false-discovery rate q = 1e-18" in said


def test_a_class_without_a_name_is_circumscribed() -> None:
    said = english(Reason(code=Code.LOOK_AT_ATTRACTING_CLASS, values={"attracting_class": None}))
    assert re.match("Look at the classes that take its votes first", said)
