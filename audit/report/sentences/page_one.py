"""What page one says: sentences made from numbers by rule."""

from __future__ import annotations

from dataclasses import dataclass

from audit.findings import ClassFinding, ControlName, Findings, Kind, Reason, RunFacts, Verdict
from audit.report.formatting import points, share, with_interval
from audit.report.i18n import gettext, ngettext
from audit.report.sentences.certainty import is_complete
from audit.report.untrusted import shorten

ADVISED = (Verdict.SUSPECT, Verdict.WATCH, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Task:
    """Something to do, and the classes that need it."""

    advice: Reason
    classes: tuple[ClassFinding, ...]


def classes_of(part: int, every: int) -> str:
    """Say how many of all classes.

    Examples
    --------
    >>> classes_of(1, 12), classes_of(1, 1), classes_of(3, 3)
    ('1 of 12 classes', 'the only class', 'all 3 classes')
    """
    if part == every:
        return ngettext("the only class", "all %(num)s classes", every)
    return ngettext("%(part)s of %(num)s class", "%(part)s of %(num)s classes", every, part=part)


def headline(report: Findings) -> str:
    """Answer in one line whether the model may be trusted on this dataset."""
    summary = report.summary
    suspects, every = summary.suspect, summary.classes
    open_cases = summary.watch + summary.inconclusive
    if suspects:
        return gettext(
            "Do not trust this model yet on %(classes)s.", classes=classes_of(suspects, every)
        )
    if not report.foreground_quality.given:
        return gettext(
            "This audit cannot say whether the model may be trusted: it was given no foregrounds."
        )
    if summary.inconclusive == every:
        return gettext(
            "This audit cannot say whether the model may be trusted: no class could be judged."
        )
    if open_cases:
        return gettext(
            "No class is suspect, but %(classes)s could not be cleared.",
            classes=classes_of(open_cases, every),
        )
    if report.failed_controls:
        return gettext(
            "No dependence on the background was found in %(classes)s, but this audit failed a "
            "check of itself.",
            classes=classes_of(every, every),
        )
    return gettext(
        "No dependence on the background was found in %(classes)s.",
        classes=classes_of(every, every),
    )


def trust(report: Findings, run: RunFacts) -> list[str]:
    """Say what the verdicts mean for the use of the model."""
    summary = report.summary
    lines = []
    if not report.foreground_quality.given:
        lines.append(
            gettext(
                "To find out whether a class depends on its background, the audit must know where "
                "the object is. Without masks or boxes nothing can be exchanged, so no class is "
                "called clear."
            )
        )
    if not is_complete(report, run):
        lines.append(_incomplete(report))
    lines += _suspects(report) + _clear(report)
    if report.foreground_quality.given:
        lines += _open_cases(summary.watch, summary.inconclusive)
    if summary.accuracy is not None:
        lines.append(
            gettext(
                "On the dataset as it is the model is right for %(share)s of the images. That "
                "figure does not show what it depends on.",
                share=share(summary.accuracy),
            )
        )
    return lines


def _incomplete(report: Findings) -> str:
    measured = share(report.summary.coverage)
    if report.summary.clear:
        return gettext(
            "The audit is incomplete: of at least one class no image has a foreground, so that "
            "class was not judged (%(share)s of all images were measured), and its backgrounds "
            "were not among those that others met.",
            share=measured,
        )
    return gettext(
        "The audit is incomplete: too many images of at least one class could not be "
        "measured (%(share)s of all images were). Nothing is called clear.",
        share=measured,
    )


def _has_failed(report: Findings, name: ControlName) -> bool:
    return any(control.name is name for control in report.failed_controls)


def _suspects(report: Findings) -> list[str]:
    count = report.summary.suspect
    if not count:
        return []
    lines = [
        ngettext(
            "%(num)s class depends on the background and not only on the object: with the same "
            "object on another background the model's answer changes.",
            "%(num)s classes depend on the background and not only on the object: with the same "
            "object on another background the model's answer changes.",
            count,
        )
    ]
    if _has_failed(report, ControlName.NEGATIVE):
        lines.append(
            gettext(
                "In this run the same rule also flagged what cannot be a dependence, so this may "
                "be a false alarm."
            )
        )
    return lines


def _clear(report: Findings) -> list[str]:
    count = report.summary.clear
    if not count:
        return []
    if _has_failed(report, ControlName.POSITIVE):
        return [
            ngettext(
                "In %(num)s class no dependence was found, but in this run a planted one was "
                "missed too: it is not proven clear.",
                "In %(num)s classes no dependence was found, but in this run a planted one was "
                "missed too: they are not proven clear.",
                count,
            )
        ]
    return [
        ngettext(
            "%(num)s class is clear: a loss of %(effect)s percentage points or more over all other "
            "backgrounds together is excluded for it, and of %(floor)s of what it has to lose to "
            "any one of the classes that were likeliest to harm it.",
            "%(num)s classes are clear: a loss of %(effect)s percentage points or more over all "
            "other backgrounds together is excluded for them, and of %(floor)s of what they have "
            "to lose to any one of the classes that were likeliest to harm them.",
            count,
            effect=points(report.thresholds.effect),
            floor=share(report.thresholds.victim_floor),
        )
    ]


def _open_cases(watch: int, inconclusive: int) -> list[str]:
    lines = []
    if watch:
        lines.append(
            ngettext(
                "%(num)s class is on watch: an effect can neither be shown nor excluded.",
                "%(num)s classes are on watch: an effect can neither be shown nor excluded.",
                watch,
            )
        )
    if inconclusive:
        lines.append(
            ngettext(
                "%(num)s class is inconclusive: there was too little to judge by.",
                "%(num)s classes are inconclusive: there was too little to judge by.",
                inconclusive,
            )
        )
    return lines


def suspect_line(finding: ClassFinding) -> str:
    """Say in half a sentence what the experiment showed for a class."""
    loss = with_interval(finding.estimate("background_gap"))
    if finding.kind is Kind.VICTIM and finding.attractor:
        return gettext(
            "loses %(loss)s when the background is exchanged; its votes go to %(name)s",
            loss=loss,
            name=shorten(finding.attractor),
        )
    if finding.kind is Kind.OWN_SHORTCUT:
        return gettext(
            "loses %(loss)s when the background is exchanged; the model leans on its usual "
            "background",
            loss=loss,
        )
    return gettext("loses %(loss)s when the background is exchanged", loss=loss)


def tasks(report: Findings) -> list[Task]:
    """Gather what should be done, each advice once with the classes that need it."""
    gathered: dict[Reason, list[ClassFinding]] = {}
    for verdict in ADVISED:
        for finding in report.with_verdict(verdict):
            for advice in finding.advice[:1]:
                gathered.setdefault(advice, []).append(finding)
    return [Task(advice, tuple(found)) for advice, found in gathered.items()]
