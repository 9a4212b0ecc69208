"""Who is called for a suspect class where every audit has other images.

Chance has a new try in each audit that draws its images anew, and a year of them finds what one
alone would seldom find. With ``gate_after: 2`` a class that becomes suspect on other images than
those of the run before waits until the next audit says so too: two in a row, as control charts ask
for runs of points (Champ and Woodall 1987). A class that becomes suspect on the same images, as
after a retraining, or that was suspect from the first run on, waits for nothing; nor does one whose
images, model and settings stay the same, since no further audit would come.
"""

from __future__ import annotations

from collections.abc import Iterator

from audit.findings import Findings, Trend, Verdict


def waiting(findings: Findings, *, repeated: bool = False) -> tuple[str, ...]:
    """The suspect classes for which nobody is called yet.

    Parameters
    ----------
    findings : Findings
        With its trends.
    repeated : bool
        Whether a later run found images, model and settings unchanged.
    """
    after = findings.summary.gate_after
    if repeated:
        return ()
    return tuple(name for name, streak in _fresh_streaks(findings) if streak < after)


def newly_confirmed(findings: Findings) -> frozenset[str]:
    """The classes that waited, and are confirmed by this run."""
    after = findings.summary.gate_after
    return frozenset(
        name for name, streak in _fresh_streaks(findings) if after > 1 and streak == after
    )


def _fresh_streaks(findings: Findings) -> Iterator[tuple[str, int]]:
    """Of classes that became suspect on other images: by how many audits in a row they are."""
    suspect = {finding.label_name for finding in findings.with_verdict(Verdict.SUSPECT)}
    for trend in findings.trends:
        streak = _streak(trend)
        if trend.label_name not in suspect or not 0 < streak < len(trend.points):
            continue
        if trend.points[-streak].images_changed:
            yield trend.label_name, streak


def _streak(trend: Trend) -> int:
    streak = 0
    for point in reversed(trend.points):
        if point.verdict is not Verdict.SUSPECT:
            break
        streak += 1
    return streak
