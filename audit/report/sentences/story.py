"""Sentences made from numbers by rule: what page one says, and what stands beside each exhibit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

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
from audit.report.formatting import listing, not_measured, points, share, shorten
from audit.report.i18n import counted, recorded, say, whole


@dataclass(frozen=True)
class Task:
    """Something to do, and the classes that need it."""

    text: str
    classes: tuple[ClassFinding, ...]


def classes_of(part: int, all_: int) -> str:
    """Say how many of all classes.

    Examples
    --------
    >>> classes_of(1, 12), classes_of(1, 1), classes_of(3, 3)
    ('1 of 12 classes', 'the only class', 'all 3 classes')
    """
    if part == all_:
        return (
            say("the only class") if all_ == 1 else say("all %(count)s classes", count=whole(all_))
        )
    return say(
        "%(part)s of %(classes)s", part=whole(part), classes=counted(all_, "class", "classes")
    )


def headline(report: ReportContext) -> str:
    """Answer in one line whether the model may be trusted on this dataset."""
    summary = report.summary
    suspects, every = summary.count(SUSPECT), summary.classes
    open_cases = summary.count(WATCH) + summary.count(INCONCLUSIVE)
    if suspects:
        return say(
            "Do not trust this model yet on %(classes)s.", classes=classes_of(suspects, every)
        )
    if not report.foregrounds.given:
        return say(
            "This audit cannot say whether the model may be trusted: it was given no foregrounds."
        )
    if summary.count(INCONCLUSIVE) == every:
        return say(
            "This audit cannot say whether the model may be trusted: no class could be judged."
        )
    if open_cases:
        return say(
            "No class is suspect, but %(classes)s could not be cleared.",
            classes=classes_of(open_cases, every),
        )
    return say(
        "No dependence on the background was found in %(classes)s.",
        classes=classes_of(every, every),
    )


def trust(report: ReportContext) -> list[str]:
    """Say what the verdicts mean for the use of the model."""
    summary = report.summary
    said = []
    if not report.foregrounds.given:
        said.append(
            say(
                "To find out whether a class leans on its background, the audit must know where "
                "the object is. Without masks or boxes nothing can be exchanged, so no class is "
                "called clear."
            )
        )
    if not summary.complete:
        said.append(
            say(
                "The audit is incomplete: too many images of at least one class could not be "
                "measured (%(share)s of all images were). Nothing is called clear.",
                share=share(summary.coverage),
            )
        )
    said += _judged(report)
    said += _open_cases(summary.count(WATCH), summary.count(INCONCLUSIVE))
    if summary.accuracy is not None:
        said.append(
            say(
                "On the dataset as it is the model is right for %(share)s of the images. That "
                "figure does not show what it leans on.",
                share=share(summary.accuracy),
            )
        )
    return said


def _judged(report: ReportContext) -> list[str]:
    """What the classes with a decided verdict mean."""
    suspects, clear = report.summary.count(SUSPECT), report.summary.count(CLEAR)
    said = []
    if suspects:
        said.append(
            say(
                "%(lean)s the background and not only the object: with the same object on another "
                "background the model's answer changes.",
                lean=counted(suspects, "class leans on", "classes lean on"),
            )
        )
    if clear:
        classes = counted(clear, "class is", "classes are")
        effect = points(report.thresholds.effect)
        said.append(
            say(
                "%(classes)s clear: an effect of %(effect)s percentage points or more is excluded "
                "for it.",
                classes=classes,
                effect=effect,
            )
            if clear == 1
            else say(
                "%(classes)s clear: an effect of %(effect)s percentage points or more is excluded "
                "for them.",
                classes=classes,
                effect=effect,
            )
        )
    return said


def _open_cases(watch: int, inconclusive: int) -> list[str]:
    said = []
    if watch:
        said.append(
            say(
                "%(classes)s on watch: an effect can neither be shown nor excluded.",
                classes=counted(watch, "class is", "classes are"),
            )
        )
    if inconclusive:
        said.append(
            say(
                "%(classes)s inconclusive: there was too little to judge by.",
                classes=counted(inconclusive, "class is", "classes are"),
            )
        )
    return said


def suspect_line(finding: ClassFinding) -> str:
    """Say in half a sentence what the experiment showed for a class."""
    loss = with_interval(finding.gap)
    if finding.kind == "victim" and finding.attractor:
        return say(
            "loses %(loss)s when the background is exchanged; its votes go to %(taker)s",
            loss=loss,
            taker=shorten(finding.attractor),
        )
    if finding.kind == "own_shortcut":
        return say(
            "loses %(loss)s when the background is exchanged; its usual background is taken for a "
            "sign of the class",
            loss=loss,
        )
    return say("loses %(loss)s when the background is exchanged", loss=loss)


def with_interval(estimate: Estimate) -> str:
    """Show an effect in percentage points with its interval.

    Examples
    --------
    >>> with_interval(Estimate(0.45, 0.38, 0.52)), with_interval(Estimate(None))
    ('45 points (95 % interval 38 to 52)', 'not measured')
    """
    if estimate.value is None:
        return not_measured()
    held = counted(int(points(estimate.value).replace("−", "-")), "point")
    if estimate.low is None or estimate.high is None:
        return say("%(points)s (no interval)", points=held)
    return say(
        "%(points)s (95 %% interval %(low)s to %(high)s)",
        points=held,
        low=points(estimate.low),
        high=points(estimate.high),
    )


def certainty(report: ReportContext) -> list[str]:
    """Say how sure the audit is, and by which of its own checks."""
    summary, thresholds = report.summary, report.thresholds
    said = [_measured(summary.scored, summary.found)]
    if report.foregrounds.given:
        said.append(
            say(
                "A class is called suspect only when its loss is at least %(effect)s percentage "
                "points and stands out from chance. Among classes so flagged the share of false "
                "alarms is held to %(rate)s on average, if the test's assumptions hold.",
                effect=points(thresholds.effect),
                rate=share(thresholds.fdr),
            )
        )
    said += [
        _control_line(control.name, control.found, control.passed) for control in report.controls
    ]
    if not report.controls:
        said.append(say("This run made no check of itself."))
    return said


def _measured(scored: int, found: int) -> str:
    images = counted(scored, "image")
    if not found:
        return say("No image was found.")
    rate = share(scored / found)
    if scored == 1:
        return say(
            "%(images)s of %(found)s was measured (%(share)s).",
            images=images,
            found=whole(found),
            share=rate,
        )
    return say(
        "%(images)s of %(found)s were measured (%(share)s).",
        images=images,
        found=whole(found),
        share=rate,
    )


def _control_line(name: str, found: str, passed: bool | None) -> str:
    outcome = {True: say("passed"), False: say("FAILED"), None: say("could not be made")}[passed]
    # The parts may be marked as English, so the line is markup from here on.
    line = Markup("{}: {}").format(recorded(name) if name else say("Control"), outcome)
    if found:
        line += Markup(" ({})").format(recorded(found))
    line += "."
    if passed is False:
        line += " " + say("Read every verdict with caution.")
    return line


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
    answer = shorten(exhibit.prediction)
    if exhibit.confidence is None:
        right, wrong = (
            say("Right: %(answer)s.", answer=answer),
            say("Wrong: %(answer)s.", answer=answer),
        )
        return right if exhibit.right else wrong
    sure = share(exhibit.confidence)
    if exhibit.right:
        return say("Right: %(answer)s with confidence %(sure)s.", answer=answer, sure=sure)
    return say("Wrong: %(answer)s with confidence %(sure)s.", answer=answer, sure=sure)


def swap_line(swap: Swap, name: str) -> str:
    """Say what the experiment did to an exhibit."""
    new = shorten(swap.prediction)
    still = swap.prediction == name
    said = say("Still %(answer)s.", answer=new) if still else say("Now %(answer)s.", answer=new)
    if swap.before is None or swap.probability is None:
        return said
    change = say(
        "Probability of %(name)s: %(before)s → %(after)s.",
        name=shorten(name),
        before=share(swap.before),
        after=share(swap.probability),
    )
    return f"{said} {change}"


def panel_line(panel: CmvPanel) -> str:
    """Say what a class model visualization is and how far it carries."""
    named = {
        "logit": say("Class score"),
        "softmax": say("Softmax posterior"),
        "contrast": say("This class rather than %(rival)s", rival=shorten(panel.rival))
        if panel.rival
        else say("This class rather than the others"),
        "diversity": say("One of several, number %(number)s", number=panel.variant + 1),
    }
    given = share(panel.probability)
    said = say(
        "%(objective)s. The model gives this picture %(share)s for the class.",
        objective=named.get(panel.objective, panel.objective),
        share=given,
    )
    if panel.robust_probability is not None:
        said += " " + say(
            "After small shifts and zooms it gives %(share)s.",
            share=share(panel.robust_probability),
        )
    if panel.transfer_rank is not None:
        said += " " + say(
            "For a second model the class is number %(rank)s in it.", rank=panel.transfer_rank
        )
    return said


def confusion_line(finding: ClassFinding) -> str:
    """Say what a class is taken for."""
    if finding.recall is None:
        return say("What its images are taken for was not measured.")
    if not finding.confusions:
        return say("None of its images was taken for another class.")
    named = [
        f"{shorten(c.name, 40)} ({counted(c.count, 'image')}, {share(c.share)})"
        for c in finding.confusions
    ]
    return say("Its images are taken for %(names)s.", names=listing(named))


def median_line(own: Sequence[float], others: Sequence[float]) -> str:
    """Compare the masses of a class with those of all others."""
    if not own:
        return say("The saliency of this class was not measured against foregrounds.")
    mine = share(median(own))
    if not others:
        return say(
            "In the middle image %(mine)s of the saliency lies on the object.",
            mine=mine,
        )
    return say(
        "In the middle image of this class %(mine)s of the saliency lies on the object; in that "
        "of all other classes %(theirs)s. This alone decides nothing.",
        mine=mine,
        theirs=share(median(others)),
    )
