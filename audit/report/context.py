"""A run folder becomes a :class:`ReportContext`: read once, checked, cleaned, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.errors import ReportError
from audit.report.bridge import read_findings_as_before, read_run_as_before
from audit.report.content import (
    SUSPECT,
    VERDICTS,
    ClassFinding,
    Control,
    Foregrounds,
    Provenance,
    ReportContext,
    Summary,
    Thresholds,
)
from audit.report.cues import read_matrix
from audit.report.evidence import Shown, read_finding
from audit.report.formatting import clean_text, discreet
from audit.report.i18n import say
from audit.report.json_values import (
    count,
    number,
    objects,
    section,
    text,
    texts,
    truth,
)
from audit.report.pictures import legend_picture
from audit.report.problems import read_problems
from audit.verdicts.decide import DECISIONS, VICTIM_FLOOR

SPREADS = 40
"""Suspect classes that get their own page; the others are in the tables."""
CARDS = 40
"""Watch and inconclusive classes, each, that get a card with pictures."""


def load_context(run_folder: Path) -> ReportContext:
    """Read all that the report says from a run folder.

    Parameters
    ----------
    run_folder : Path
        With ``run.json``, ``findings.json`` and the pictures that it names.

    Raises
    ------
    ReportError
        Something that the report needs is missing or not as this version writes it.
    """
    run = read_run_as_before(run_folder / "run.json")
    held = read_findings_as_before(run_folder / "findings.json")
    audit = section(held, "audit")
    name = clean_text(audit.get("name") or run.get("name") or "audit", 200)
    return ReportContext(
        name=name,
        title=_title(clean_text(audit.get("title") or "", 200), name),
        owner=text(audit, "owner", 200),
        audience=text(audit, "audience", 100),
        dataset=text(audit, "dataset", 200),
        model=text(audit, "model", 200),
        summary=_summary(section(held, "summary"), section(run, "counts"), text(run, "status")),
        thresholds=_thresholds(section(held, "thresholds")),
        controls=tuple(
            Control(
                text(control, "name", 100),
                text(control, "description"),
                text(control, "expected", 200),
                text(control, "found", 200),
                truth(control, "passed"),
            )
            for control in objects(held, "controls")
        ),
        limits=texts(held, "limits"),
        foregrounds=_foregrounds(section(held, "foreground_quality")),
        findings=_findings(run_folder, held),
        problems=read_problems(run_folder / "problems.csv"),
        provenance=_provenance(run),
        backgrounds=read_matrix(section(held, "whose_background")),
        legend=legend_picture(),
    )


def _title(given: str, name: str) -> str:
    """The owner's title as it stands; what stands for none, in the language of the report."""
    if given in ("", f"Saliency audit: {name}"):
        return clean_text(say("Saliency audit: %(name)s", name=name), 200)
    return given


def _findings(run_folder: Path, held: Mapping[str, Any]) -> tuple[ClassFinding, ...]:
    entries = objects(held, "findings")
    for entry in entries:
        if entry.get("verdict") not in VERDICTS:
            raise ReportError(
                f"findings.json: expected a verdict of {', '.join(VERDICTS)}, "
                f"found {clean_text(entry.get('verdict'), 40)!r}"
            )
    entries.sort(key=_urgency)
    seen = dict.fromkeys(VERDICTS, 0)
    findings = []
    for entry in entries:
        verdict = entry["verdict"]
        limit = SPREADS if verdict == SUSPECT else CARDS if verdict != "clear" else 0
        shown = Shown.NOTHING
        if seen[verdict] < limit:
            shown = Shown.EVERYTHING if verdict == SUSPECT else Shown.ONE_EXHIBIT
        seen[verdict] += 1
        findings.append(read_finding(run_folder, entry, shown))
    return tuple(findings)


def _urgency(entry: Mapping[str, Any]) -> tuple[int, float, float]:
    """By verdict, then the largest effect; what was not measured comes last."""
    gap = number(entry, "background_gap")
    return (
        VERDICTS.index(entry["verdict"]),
        -gap if gap is not None else 2.0,
        number(entry, "label") or 0.0,
    )


def _summary(held: Mapping[str, Any], counts: Mapping[str, Any], status: str) -> Summary:
    complete = truth(held, "complete")
    return Summary(
        classes=count(held, "classes"),
        by_verdict=tuple((verdict, count(held, verdict)) for verdict in VERDICTS),
        gate=text(held, "gate", 20) or "never",
        gate_passed=truth(held, "gate_passed"),
        complete=status not in ("incomplete", "failed") and complete is not False,
        found=count(counts if "found" in counts else {"found": held.get("images")}, "found"),
        scored=count(counts if "scored" in counts else held, "scored"),
        noted=count(counts, "noted"),
        rejected=count(counts, "rejected"),
        coverage=number(held, "coverage"),
        accuracy=number(held, "accuracy"),
    )


def _thresholds(held: Mapping[str, Any]) -> Thresholds:
    return Thresholds(
        minimum_images=int(number(held, "minimum_images") or 20),
        effect=_or(number(held, "effect"), 0.10),
        strong_effect=_or(number(held, "strong_effect"), 0.15),
        fdr=_or(number(held, "fdr"), 0.05),
        test=text(held, "test", 20) or "t",
        decisions=DECISIONS,
        victim_floor=max(VICTIM_FLOOR, _or(number(held, "effect"), 0.10)),
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _foregrounds(held: Mapping[str, Any]) -> Foregrounds:
    return Foregrounds(
        text(held, "source", 100) or "none", number(held, "coverage"), text(held, "note")
    )


def _provenance(run: Mapping[str, Any]) -> Provenance:
    timings = section(run, "timings")
    return Provenance(
        run_id=text(run, "run_id", 100),
        status=text(run, "status", 20) or "unknown",
        started=text(run, "started", 40),
        finished=text(run, "finished", 40),
        fingerprint=text(run, "fingerprint", 100),
        device=text(run, "device", 100),
        seed=text(run, "seed", 30),
        precision=text(run, "precision", 30),
        versions=_pairs(section(run, "versions")),
        hashes=_pairs(section(run, "hashes")),
        timings=tuple((_words(step), number(timings, step)) for step in timings),
        settings=_pairs(section(run, "settings")),
    )


def _pairs(held: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((_words(key), _shown(value)) for key, value in held.items())


def _shown(value: object) -> str:
    if value is None:
        return say("none")
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    return discreet(value, 300)


def _words(key: str) -> str:
    return clean_text(key, 80).replace("_", " ")
