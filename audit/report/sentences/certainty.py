"""How sure an audit is: what was measured, its checks of itself, and where it is weak."""

from __future__ import annotations

from dataclasses import dataclass

from audit.findings import ClassFinding, Findings, RunFacts, RunStatus
from audit.report.formatting import points, share
from audit.report.i18n import gettext, ngettext, whole
from audit.report.sentences.controls import control_words, plain_outcome
from audit.report.sentences.notes import mask_caveats


def is_complete(report: Findings, run: RunFacts) -> bool:
    """Whether enough of every class could be measured, and the run came to its end."""
    return report.summary.complete and run.status not in (RunStatus.INCOMPLETE, RunStatus.FAILED)


def certainty(report: Findings, run: RunFacts) -> list[str]:
    """Say how sure the audit is, and by which of its own checks."""
    lines = [_measured(run.counts.scored or report.summary.scored, images_found(report, run))]
    if report.foreground_quality.given:
        lines.append(
            gettext(
                "A class is called suspect only when its loss is at least %(effect)s percentage "
                "points and stands out from chance. Among classes so flagged the share of false "
                "alarms is held to %(rate)s on average, if the test's assumptions hold.",
                effect=points(report.thresholds.effect),
                rate=share(report.thresholds.fdr),
            )
        )
    made = [control for control in report.controls if control.passed is not None]
    # A failed one has a box of its own.
    lines += [plain_outcome(control) for control in made if control.passed]
    if not made:
        lines.append(gettext("This run made no check of itself."))
    return lines + caveats(report)


def images_found(report: Findings, run: RunFacts) -> int:
    """How many images the dataset has, read or not."""
    return run.counts.found or report.summary.images


def _measured(scored: int, listed: int) -> str:
    if not listed:
        return gettext("No image was found.")
    return ngettext(
        "%(num)s image of %(found)s was measured (%(share)s).",
        "%(num)s images of %(found)s were measured (%(share)s).",
        scored,
        found=whole(listed),
        share=share(scored / listed),
    )


FILLS_MUCH = 0.5
"""Mean area from which an object leaves little background to exchange."""
FEW_DONORS = 3
"""So many other classes, or fewer, lend few kinds of background."""


def caveats(report: Findings) -> list[str]:
    """Say where the experiment itself is weak: large objects, and few classes to lend."""
    if not report.foreground_quality.given:
        return []
    lines = mask_caveats(report.foreground_quality)
    large = sum((finding.foreground_area or 0.0) >= FILLS_MUCH for finding in report.findings)
    if large:
        lines.append(
            ngettext(
                "In %(num)s class the object fills half of the picture or more: little background "
                "is left to exchange, and a dependence on it can be missed.",
                "In %(num)s classes the object fills half of the picture or more: little "
                "background is left to exchange, and a dependence on it can be missed.",
                large,
            )
        )
    lending = sum(finding.foreground_area is not None for finding in report.findings) - 1
    if 0 < lending <= FEW_DONORS:
        lines.append(
            ngettext(
                "Only %(num)s other class can lend backgrounds, so few kinds of background were "
                "tried.",
                "Only %(num)s other classes can lend backgrounds, so few kinds of background were "
                "tried.",
                lending,
            )
        )
    return lines


def caveat(finding: ClassFinding) -> str:
    """Say where the experiment is weak for one class; empty where it is not."""
    if finding.foreground_area is None or finding.foreground_area < FILLS_MUCH:
        return ""
    return gettext(
        "On average the object fills %(area)s of the picture: little background is left to "
        "exchange, and a dependence on it can be missed.",
        area=share(finding.foreground_area),
    )


@dataclass(frozen=True)
class FailedControl:
    """A check that this run did not pass, in words for page one."""

    name: str
    found: str
    expected: str
    means: str


def failed_controls(report: Findings) -> list[FailedControl]:
    """Say which checks of itself the run failed, and what that means for its verdicts."""
    failed = []
    for control in report.failed_controls:
        words = control_words(control)
        failed.append(
            FailedControl(words.name, plain_outcome(control), words.expected, words.means)
        )
    return failed


def how_to_get_foregrounds() -> str:
    """Say in one sentence what to do about missing foregrounds."""
    return gettext(
        "Masks or boxes may come from your annotations (COCO, VOC, YOLO) or from a labelling tool, "
        "as one PNG an image; or let a network estimate them: install saliency-audit[masks], write "
        "“foreground: {source: estimated}” into the manifest and audit again."
    )
