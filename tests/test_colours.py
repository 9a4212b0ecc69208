"""Every pair of colours that the report's stylesheets put together can be read, light and dark."""

from __future__ import annotations

import re

import pytest

import report_templates
from audit.colours import READABLE, VISIBLE, contrast
from audit.findings import Verdict
from audit.report import charts

STYLES = report_templates.text_of("report.css")
LIGHT = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", STYLES.partition("@media")[0]))
DARK = dict(
    re.findall(r"--([\w-]+): (#[0-9a-f]{6});", STYLES.partition("@media")[2].partition("* {")[0])
)
GROUNDS = ("paper", "panel")
TEXTS = ("ink", "quiet", "link", "accent")


def test_both_schemes_name_the_same_colours():
    assert LIGHT.keys() == DARK.keys()
    used = set(re.findall(r"var\(--([\w-]+)\)", STYLES))
    assert used == LIGHT.keys()


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_every_ground_it_stands_on(scheme):
    pairs = [(text, ground) for text in TEXTS for ground in GROUNDS]
    pairs += [(verdict, ground) for verdict in Verdict for ground in (f"{verdict}-tint", "paper")]
    pairs.append(("ink", "suspect-tint"))
    pairs += [("ink", f"heat-{shade}") for shade in range(1, 5)]
    faint = {pair: contrast(scheme[pair[0]], scheme[pair[1]]) for pair in pairs}
    assert {pair: found for pair, found in faint.items() if found < READABLE} == {}


def test_no_colour_stands_outside_the_two_schemes():
    rules = STYLES.partition("* {")[2]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgb|\bhsl", rules) == []


def test_paper_can_be_read_too():
    printed = set(re.findall(r"#[0-9a-f]{6}", report_templates.text_of("print.css")))
    assert all(contrast(colour, LIGHT["paper"]) >= READABLE for colour in printed)
    assert all(contrast(colour, LIGHT["paper"]) >= VISIBLE for colour in charts.COLOURS.values())


def test_contrast_is_that_of_the_standard():
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#ffffff", "#777777") == contrast("#777777", "#ffffff")
    assert contrast("#123456", "#123456") == 1
