"""Who is called for a suspect class where every audit has other images.

Chance has a new try in each audit that draws its images anew, and a year of them finds what one
alone would seldom find. So a class that becomes suspect on other images than those of the run
before waits until the next audit says so too: two in a row (``gate_after``), as control charts ask
for runs of points (Champ and Woodall 1987). Nothing is waited for in a first run, in one that
cannot be compared, where all of the class's images are those of the run before, as after a
retraining, or where the class was suspect from the first run on; nor where images, model and
settings stay the same, since no further audit would come.
"""

from __future__ import annotations

from collections.abc import Iterator

from audit.findings import Comparability, Findings, Trend, Verdict


def waiting(findings: Findings, *, repeated: bool = False) -> tuple[str, ...]:
    """The suspect classes for which nobody is called yet.

    Parameters
    ----------
    findings : Findings
        With its comparison and trends; the last point of each is this run.
    repeated : bool
        Whether a later run found images, model and settings unchanged.
    """
    if repeated:
        return ()
    after, fresh = findings.summary.gate_after, _on_other_images(findings)
    return tuple(
        trend.label_name
        for trend in _suspect_trends(findings)
        if (streak := _streak(trend)) < min(after, len(trend.points))
        and (trend.label_name in fresh if streak == 1 else trend.points[-2].waiting)
    )


def newly_confirmed(findings: Findings) -> frozenset[str]:
    """The classes that waited in the run before, and are confirmed by this one."""
    return frozenset(
        trend.label_name
        for trend in _suspect_trends(findings)
        if _streak(trend) > 1
        and trend.points[-2].waiting
        and trend.label_name not in findings.waiting
    )


def _suspect_trends(findings: Findings) -> Iterator[Trend]:
    suspect = {finding.label_name for finding in findings.with_verdict(Verdict.SUSPECT)}
    return (trend for trend in findings.trends if trend.label_name in suspect)


def _on_other_images(findings: Findings) -> frozenset[str]:
    """The classes of whose images not all are in the run that this one is laid beside."""
    comparison = findings.comparison
    if comparison is None or comparison.comparability is Comparability.NOT_COMPARABLE:
        return frozenset()
    # An accepted run may be long ago: then the images of the last one are what counts.
    changed = {t.label_name for t in findings.trends if t.points and t.points[-1].images_changed}
    return frozenset(
        change.label_name
        for change in comparison.classes
        if change.label_name in changed and change.common < change.images
    )


def _streak(trend: Trend) -> int:
    streak = 0
    for point in reversed(trend.points):
        if point.verdict is not Verdict.SUSPECT:
            break
        streak += 1
    return streak
