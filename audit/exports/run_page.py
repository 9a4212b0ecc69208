"""What a run's page in a workflow engine shows: a table, and a page in Markdown with pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from audit.errors import ReportError
from audit.findings import Change, ClassFinding, Findings, Verdict
from audit.report.formatting import brief_interval, plural
from audit.report.i18n import ENGLISH, spoken
from audit.report.pictures import load_picture
from audit.report.sentences import english
from audit.report.sentences.history import change_line, change_word
from audit.report.sentences.outcome import outcome_line
from audit.report.untrusted import cleaned, discreet, discreet_name

ROWS: Final = 200
"""Classes in the table, at most; the rest is in the run folder."""
SUSPECTS = 6
"""Suspect classes with pictures, at most: a database keeps the page."""
PICTURES = 2
"""Of each."""
SIDE = 128
"""Longest side of a picture, in pixels."""
CHANGES = 20
_QUIET = (Change.UNCHANGED, Change.NOT_MEASURED, Change.FIRST_SEEN)
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+.!|~-])")


def class_rows(findings: Findings) -> list[dict[str, str | int]]:
    """A row a class, the most urgent first; at most :data:`ROWS`."""
    findings = cleaned(findings)
    comparison = findings.comparison
    changes = {one.label_name: one.change.value for one in comparison.classes} if comparison else {}
    return [
        {
            "class": f.label_name,
            "verdict": f.verdict.value,
            "since the run before": changes.get(f.label_name, ""),
            "kind": f.kind.value,
            "gap, points": brief_interval(f.estimate("background_gap")),
            "images": f.images,
            "why": english(f.reasons[0]) if f.reasons else "",
        }
        for f in findings.findings[:ROWS]
    ]


def page_of(findings: Findings, folder: Path | None, report: str = "") -> str:
    """How a run ended, what changed, and the suspect classes with pictures, in Markdown.

    Parameters
    ----------
    findings : Findings
        Of the run.
    folder : Path or None
        The run folder, for its pictures; None for a page without.
    report : str
        Where the report can be opened; "" where nobody but the worker can.

    Returns
    -------
    str
        With every name escaped, and pictures as ``data:`` addresses: nothing is fetched.
    """
    shown = cleaned(findings)
    parts = [_plain(outcome_line(shown))]
    if report:
        parts.append(f"[The report]({report})")
    with spoken(ENGLISH):
        parts += _changes(shown)
    suspects = findings.with_verdict(Verdict.SUSPECT)
    for finding in suspects[:SUSPECTS]:
        parts += _suspect(finding, folder)
    if len(suspects) > SUSPECTS:
        left = plural(len(suspects) - SUSPECTS, "more suspect class", "more suspect classes")
        parts.append(f"And {left}.")
    return "\n\n".join(parts) + "\n"


def _changes(findings: Findings) -> Iterator[str]:
    comparison = findings.comparison
    changed = [one for one in comparison.classes if one.change not in _QUIET] if comparison else []
    if not changed:
        return
    yield "### What changed"
    yield "\n".join(
        f"- **{_plain(one.label_name)}**: {change_word(one.change)}, {_plain(change_line(one))}"
        for one in changed[:CHANGES]
    )
    if len(changed) > CHANGES:
        yield f"And {plural(len(changed) - CHANGES, 'more class', 'more classes')}."


def _suspect(finding: ClassFinding, folder: Path | None) -> Iterator[str]:
    gap = brief_interval(finding.estimate("background_gap"))
    why = english(finding.reasons[0]) if finding.reasons else ""
    yield f"### {_plain(discreet_name(finding.label_name))}"
    yield _plain(discreet(f"Gap in points: {gap}. {why}"))
    if folder is not None and (found := _pictures(finding, folder)):
        yield " ".join(found)


def _pictures(finding: ClassFinding, folder: Path) -> list[str]:
    names = [one.pictures.overlay or one.pictures.image for one in finding.exhibits]
    found = []
    for name in [name for name in names if name][:PICTURES]:
        try:
            found.append(f"![an image of the class]({load_picture(folder, name, SIDE).data_uri})")
        except ReportError:
            # The report says what is missing; a page beside it must not end the run.
            continue
    return found


def _plain(text: str) -> str:
    """Text that Markdown, and the HTML in it, show as it is."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", escaped)
