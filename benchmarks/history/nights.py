"""Years of audits drawn from finished runs, and who is called by the product's own rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from audit.exports.events import changed_classes
from audit.findings import Code, Estimate, Trend, TrendPoint, Verdict
from audit.history.compare import Measured, compare
from audit.history.confirmed import waiting
from audit.history.gate import gate_failures
from benchmarks.history.resampling import Ints, World

WEEKS = 52


@dataclass(frozen=True)
class Year:
    """The images of a year of audits, and the bank of backgrounds that each week meets.

    Parameters
    ----------
    banks : sequence of World
        Runs of one model on the same images, from :func:`aligned`.
    bank : int (weeks,)
        The bank of each week.
    rows, names : mapping of class name to int (weeks, images)
        Places in the scores, and what tells the images of a class apart.
    """

    banks: Sequence[World]
    bank: Ints
    rows: Mapping[str, Ints]
    names: Mapping[str, Ints]

    def audit(self, number: int) -> Measured:
        """Judge a week."""
        rows = np.concatenate([held[number] for held in self.rows.values()])
        names = [f"{name} {one}" for name, held in self.names.items() for one in held[number]]
        return self.banks[int(self.bank[number])].audit(rows, names=names)


def aligned(banks: Sequence[World]) -> list[World]:
    """Runs of the same images, reduced to those that all of them measured, in one order."""
    common = set.intersection(*(set(bank.scores["sample_id"]) for bank in banks))
    return [
        replace(
            bank,
            scores=bank.scores[bank.scores["sample_id"].isin(common)]
            .sort_values("sample_id")
            .reset_index(drop=True),
        )
        for bank in banks
    ]


def drawn(
    banks: Sequence[World],
    random: np.random.Generator,
    classes: Sequence[str],
    images: int,
    *,
    kept: float = 0.0,
    weeks: int = WEEKS,
) -> Year:
    """Draw a year, each week with a bank of its own.

    Parameters
    ----------
    images : int
        Of a class in a week, drawn with replacement.
    kept : float
        The share that is kept from the week before; the oldest go.
    """
    size, again = (weeks, images), round(kept * images)
    rows = {name: random.choice(banks[0].places[name], size) for name in classes}
    names = {name: random.integers(2**60, size=size) for name in classes}
    for held in (*rows.values(), *names.values()):
        for number in range(1, weeks if again else 0):
            held[number, :again] = held[number - 1, images - again :]
    return Year(banks, random.integers(len(banks), size=weeks), rows, names)


@dataclass
class Calls:
    """What the history of one audit holds of its nights so far."""

    suspect: dict[int, set[str]] = field(default_factory=dict)
    waiting: dict[int, set[str]] = field(default_factory=dict)

    def of(self, number: int, before: Measured | None, now: Measured) -> set[str]:
        """Who is called in a night: by the gate ``suspect``, or by an event ``new``.

        Parameters
        ----------
        number : int
            Of the night; from 0 on, which has none before it.
        """
        suspects = {f.label_name for f in now.findings.with_verdict(Verdict.SUSPECT)}
        self.suspect[number] = suspects
        trends = tuple(
            Trend(
                label_name=name,
                points=tuple(self._point(name, n) for n in range(max(0, number - 9), number + 1)),
            )
            for name in suspects
        )
        beside = compare(before, now) if before else None
        held = now.findings.model_copy(update={"comparison": beside, "trends": trends})
        held = held.model_copy(update={"waiting": waiting(held)})
        self.waiting[number] = set(held.waiting)
        failed = gate_failures("suspect", held)
        gate = {str(one.values["label_name"]) for one in failed if one.code is Code.GATE_SUSPECT}
        return gate | {finding.label_name for finding in changed_classes(held)["new"]}

    def _point(self, name: str, number: int) -> TrendPoint:
        found = name in self.suspect.get(number, ())
        return TrendPoint(
            started=f"{number:04d}",
            verdict=Verdict.SUSPECT if found else Verdict.CLEAR,
            gap=Estimate(),
            images_changed=number > 0,
            waiting=name in self.waiting.get(number, ()),
        )
