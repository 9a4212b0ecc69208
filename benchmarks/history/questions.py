"""The four questions: two halves of one world, years, planted cues, retrained models.

A week that cannot hold a suspect class is not judged further: no class is suspect whose mean loss,
and whose mean harm on any one class's backgrounds, lie below their floors, whatever the tests say.
That is exact, and makes a year of clean weeks cheap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from audit.findings import Change, Verdict
from audit.history.compare import Measured, compare
from audit.verdicts.affected import pair_losses
from audit.verdicts.decide import VICTIM_FLOOR
from audit.verdicts.swap_rates import swap_effects
from benchmarks.history.nights import Calls, Year, drawn
from benchmarks.history.resampling import Ints, World

AUDITS = 2
"""Within how many audits a planted cue shall be named."""
ALARMS = (Change.NEW, Change.WORSENED, Change.IMPROVED, Change.FIXED)


class Screen:
    """What of many weeks can be told at once: whether any class may be suspect.

    Parameters
    ----------
    world : World
        Of whose rows the weeks are.
    """

    def __init__(self, world: World) -> None:
        scores, limits = world.scores, world.manifest.verdict
        table = pair_losses(scores, world.follow_up).pivot_table(
            index="sample_id", columns="donor_label", values="harm"
        )
        self._losses = swap_effects(scores)["g"].to_numpy()
        self._harms = table.reindex(scores["sample_id"]).to_numpy()
        self._floors = (limits.effect, max(VICTIM_FLOOR, limits.effect))

    def may_alarm(self, drawn: Mapping[str, Ints]) -> NDArray[np.bool_]:
        """Whether a class reaches a floor, by week; False means that none is suspect.

        Parameters
        ----------
        drawn : mapping of class name to int (weeks, images)
            Places in the scores.
        """
        loss, harm = self._floors
        found = [np.nanmean(self._losses[places], 1) >= loss for places in drawn.values()]
        for places in drawn.values():
            held = self._harms[places]
            known = np.isfinite(held)
            means = np.where(known, held, 0).sum(1) / np.maximum(known.sum(1), 1)
            found.append((means >= harm).any(1))
        return np.logical_or.reduce(found)


def words_of(earlier: Measured, later: Measured) -> dict[str, Change]:
    """What the product says of each class."""
    return {one.label_name: one.change for one in compare(earlier, later).classes}


def halves(
    first: World, second: World, random: np.random.Generator, times: int, images: int
) -> Counter[str]:
    """A/A: disjoint images of the clean classes, `images` of each, over and over.

    Parameters
    ----------
    first, second : World
        The same model on the same images, with donors by two seeds.
    """
    found: Counter[str] = Counter()
    for _ in range(times):
        parts: tuple[list[Ints], list[Ints]] = ([], [])
        for name in first.of("clean"):
            order = random.permutation(first.places[name])
            count = min(images, len(order) // 2)
            parts[0].append(order[:count])
            parts[1].append(order[count : 2 * count])
        earlier, later = (np.concatenate(part) for part in parts)
        words = words_of(first.audit(earlier), second.audit(later)).values()
        found.update(word.value for word in words)
        found["comparisons"] += 1
        found["with an alarm"] += any(word in ALARMS for word in words)
    return found


def years(
    banks: Sequence[World],
    random: np.random.Generator,
    count: int,
    images: int,
    kept: float = 0.0,
) -> Counter[str]:
    """Years of weekly audits of the clean classes, each with images and backgrounds drawn anew.

    Parameters
    ----------
    kept : float
        The share of a week's images that were those of the week before.
    """
    screens, found = [Screen(bank) for bank in banks], Counter[str]()
    for _ in range(count):
        year, calls = drawn(banks, random, banks[0].of("clean"), images, kept=kept), Calls()
        seen = Counter[str]()
        for number in _weeks(year, screens):
            judged = year.audit(number)
            held = judged.findings.with_verdict(Verdict.SUSPECT)
            seen["suspect"] += len(held)
            if held:
                before = year.audit(number - 1) if number else None
                seen["called"] += len(calls.of(number, before, judged))
                if before:
                    seen["new"] += Change.NEW in words_of(before, judged).values()
        found["years"] += 1
        found["suspect verdicts"] += seen["suspect"]
        for word in ("suspect", "new", "called"):
            found[f"with a class {word}"] += seen[word] > 0
    return found


def _weeks(year: Year, screens: Sequence[Screen]) -> list[int]:
    """The weeks in which a class may be suspect."""
    may = np.zeros(len(year.bank), bool)
    for number, screen in enumerate(screens):
        own = year.bank == number
        may[own] = screen.may_alarm({name: rows[own] for name, rows in year.rows.items()})
    found: list[int] = np.flatnonzero(may).tolist()
    return found


def cues(
    calm: World, planted: World, random: np.random.Generator, times: int, images: int
) -> Counter[str]:
    """After how many audits a cue that a retraining planted is named; each week is fresh."""
    found: Counter[str] = Counter()
    names = {name for name in planted.of("suspect") if name in calm.of("clean")}
    for _ in range(times):
        year = drawn([calm], random, calm.of("clean"), images, weeks=1 + AUDITS)
        earlier, calls = year.audit(0), Calls()
        calls.of(0, None, earlier)
        year = replace(year, banks=[planted])
        waiting = {"new": set(names), "called": set(names)}
        found["planted"] += len(names)
        for number in range(1, AUDITS + 1):
            night = year.audit(number)
            words = words_of(earlier, night)
            named = {name for name in names if words[name] is Change.NEW}
            waiting["new"] -= named
            waiting["called"] -= calls.of(number, earlier, night)
            for word, left in waiting.items():
                found[f"{word} by audit {number}"] += len(names) - len(left)
            earlier = night
    return found


def retrained(
    earlier: World, later: World, random: np.random.Generator, times: int, images: int
) -> Counter[str]:
    """The words of a retraining on the same images, by what became of the truth."""
    found: Counter[str] = Counter()
    for _ in range(times):
        drawn = [
            random.choice(places, min(images, len(places)), False)
            for name, places in earlier.places.items()
            if name in later.places
        ]
        rows = np.concatenate(drawn)
        # The rows of two audits of the same list of images stand in the same order.
        for name, word in words_of(earlier.audit(rows), later.audit(rows)).items():
            kinds = f"{earlier.truth.get(name, 'else')} to {later.truth.get(name, 'else')}"
            found[f"{kinds}: {word.value}"] += 1
    return found
