"""Sentences made from numbers by rule: what page one says, and what stands beside each exhibit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from audit.report.content import (
    CLEAR,
    INCONCLUSIVE,
    SUSPECT,
    WATCH,
    ClassFinding,
    CmvPanel,
    Estimate,
    Exhibit,
    ReportContext,
    Swap,
)
from audit.report.wording import NOT_MEASURED, listing, plural, points, share, shorten

CLASS_LIMIT = 6


@dataclass(frozen=True)
class Task:
    """Something to do, and the classes that need it."""

    text: str
    classes: tuple[ClassFinding, ...]


def classes_of(part: int, whole: int) -> str:
    """Say how many of all classes.

    Examples
    --------
    >>> classes_of(1, 12), classes_of(1, 1), classes_of(3, 3)
    ('1 of 12 classes', 'the only class', 'all 3 classes')
    """
    if part == whole:
        return "the only class" if whole == 1 else f"all {whole:,} classes"
    return f"{part:,} of {plural(whole, 'class', 'classes')}"


def headline(report: ReportContext) -> str:
    """Answer in one line whether the model may be trusted on this dataset."""
    summary = report.summary
    suspects, whole = summary.count(SUSPECT), summary.classes
    open_cases = summary.count(WATCH) + summary.count(INCONCLUSIVE)
    if suspects:
        return f"Do not trust this model yet on {classes_of(suspects, whole)}."
    if not report.foregrounds.given:
        return (
            "This audit cannot say whether the model may be trusted: it was given no foregrounds."
        )
    if summary.count(INCONCLUSIVE) == whole:
        return "This audit cannot say whether the model may be trusted: no class could be judged."
    if open_cases:
        return f"No class is suspect, but {classes_of(open_cases, whole)} could not be cleared."
    return f"No dependence on the background was found in {classes_of(whole, whole)}."


def trust(report: ReportContext) -> list[str]:
    """Say what the verdicts mean for the use of the model."""
    summary = report.summary
    said = []
    if not report.foregrounds.given:
        said.append(
            "To find out whether a class leans on its background, the audit must know where the "
            "object is. Without masks or boxes nothing can be exchanged, so no class is called "
            "clear."
        )
    if not summary.complete:
        said.append(
            "The audit is incomplete: too many images of at least one class could not be "
            f"measured ({share(summary.coverage)} of all images were). Nothing is called clear."
        )
    if summary.count(SUSPECT):
        said.append(
            f"{_sentence_count(summary.count(SUSPECT))} the background and not only the object: "
            "with the same object on another background the model's answer changes."
        )
    clear = summary.count(CLEAR)
    if clear:
        said.append(
            f"{_start(plural(clear, 'class is', 'classes are'))} clear: an effect of "
            f"{points(report.thresholds.effect)} percentage points or more is excluded for "
            f"{'it' if clear == 1 else 'them'}."
        )
    said += _open_cases(summary.count(WATCH), summary.count(INCONCLUSIVE))
    if summary.accuracy is not None:
        said.append(
            f"On the dataset as it is the model is right for {share(summary.accuracy)} of the "
            "images. That figure does not show what it leans on."
        )
    return said


def _sentence_count(suspects: int) -> str:
    return "1 class leans on" if suspects == 1 else f"{suspects:,} classes lean on"


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def _open_cases(watch: int, inconclusive: int) -> list[str]:
    said = []
    if watch:
        said.append(
            f"{plural(watch, 'class is', 'classes are')} on watch: an effect can neither be shown "
            "nor excluded."
        )
    if inconclusive:
        said.append(
            f"{plural(inconclusive, 'class is', 'classes are')} inconclusive: there was too "
            "little to judge by."
        )
    return said


def suspect_line(finding: ClassFinding) -> str:
    """Say in half a sentence what the experiment showed for a class."""
    loss = f"loses {with_interval(finding.gap)} when the background is exchanged"
    if finding.kind == "victim" and finding.attractor:
        return f"{loss}; its votes go to {shorten(finding.attractor)}"
    if finding.kind == "own_shortcut":
        return f"{loss}; its usual background is taken for a sign of the class"
    return loss


def with_interval(estimate: Estimate) -> str:
    """Show an effect in percentage points with its interval.

    Examples
    --------
    >>> with_interval(Estimate(0.45, 0.38, 0.52)), with_interval(Estimate(None))
    ('45 points (95 % interval 38 to 52)', 'not measured')
    """
    if estimate.value is None:
        return NOT_MEASURED
    held = f"{points(estimate.value)} point{'' if points(estimate.value) == '1' else 's'}"
    if estimate.low is None or estimate.high is None:
        return f"{held} (no interval)"
    return f"{held} (95 % interval {points(estimate.low)} to {points(estimate.high)})"


def certainty(report: ReportContext) -> list[str]:
    """Say how sure the audit is, and by which of its own checks."""
    summary, thresholds = report.summary, report.thresholds
    said = [
        f"{plural(summary.scored, 'image')} of {summary.found:,} "
        f"{'was' if summary.scored == 1 else 'were'} measured"
        + (f" ({share(summary.scored / summary.found)})." if summary.found else ".")
    ]
    if report.foregrounds.given:
        said.append(
            "A class is called suspect only when its loss is at least "
            f"{points(thresholds.effect)} percentage points and stands out from chance. Among "
            f"classes so flagged the share of false alarms is held to {share(thresholds.fdr)} "
            "on average, if the test's assumptions hold."
        )
    said += [
        _control_line(control.name, control.found, control.passed) for control in report.controls
    ]
    if not report.controls:
        said.append("This run made no check of itself.")
    return said


def _control_line(name: str, found: str, passed: bool | None) -> str:
    outcome = {True: "passed", False: "FAILED", None: "could not be made"}[passed]
    warning = " Read every verdict with caution." if passed is False else ""
    return f"{name or 'Control'}: {outcome}{f' ({found})' if found else ''}.{warning}"


def tasks(report: ReportContext) -> list[Task]:
    """Gather what should be done, each advice once with the classes that need it."""
    gathered: dict[str, list[ClassFinding]] = {}
    for verdict in (SUSPECT, WATCH, INCONCLUSIVE):
        for finding in report.with_verdict(verdict):
            for advice in finding.advice[:1]:
                gathered.setdefault(advice, []).append(finding)
    return [Task(text, tuple(found)) for text, found in gathered.items()]


def exhibit_line(exhibit: Exhibit) -> str:
    """Say what the model answered to an exhibit."""
    how_sure = (
        f" with confidence {share(exhibit.confidence)}" if exhibit.confidence is not None else ""
    )
    answer = shorten(exhibit.prediction)
    return f"Right: {answer}{how_sure}." if exhibit.right else f"Wrong: {answer}{how_sure}."


def swap_line(swap: Swap, name: str) -> str:
    """Say what the experiment did to an exhibit."""
    new = shorten(swap.prediction)
    said = f"Still {new}." if swap.prediction == name else f"Now {new}."
    if swap.before is None or swap.probability is None:
        return said
    return (
        f"{said} Probability of {shorten(name)}: {share(swap.before)} → {share(swap.probability)}."
    )


def panel_line(panel: CmvPanel) -> str:
    """Say what a class model visualization is and how far it carries."""
    held = {
        "logit": "Class score",
        "softmax": "Softmax posterior",
        "contrast": f"This class rather than {shorten(panel.rival)}"
        if panel.rival
        else "This class rather than the others",
        "diversity": f"One of several, number {panel.variant + 1}",
    }.get(panel.objective, panel.objective)
    said = f"The model gives this picture {share(panel.probability)} for the class"
    if panel.robust_probability is not None:
        said += f", and {share(panel.robust_probability)} after small shifts and zooms"
    if panel.transfer_rank is not None:
        said += f"; for a second model the class is number {panel.transfer_rank} in it"
    return f"{held}. {said}."


def confusion_line(finding: ClassFinding) -> str:
    """Say what a class is taken for."""
    if finding.recall is None:
        return "What its images are taken for was not measured."
    if not finding.confusions:
        return "None of its images was taken for another class."
    named = [
        f"{shorten(c.name, 40)} ({plural(c.count, 'image')}, {share(c.share)})"
        for c in finding.confusions
    ]
    return f"Its images are taken for {listing(named)}."


def median_line(own: Sequence[float], others: Sequence[float]) -> str:
    """Compare the masses of a class with those of all others."""
    if not own:
        return "The saliency of this class was not measured against foregrounds."
    mine = share(median(own))
    if not others:
        return f"In the middle image {mine} of the saliency lies on the object."
    theirs = share(median(others))
    return (
        f"In the middle image of this class {mine} of the saliency lies on the object; in that of "
        f"all other classes {theirs}. This alone decides nothing."
    )
