"""A finished run as a source of rows: weeks with images drawn anew, judged by the product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.findings import (
    ControlMeasurements,
    RunFacts,
    SwapMatrix,
    Verdict,
    read_facts,
    read_findings,
)
from audit.history.compare import Measured
from audit.manifest import Manifest, load_manifest
from audit.verdicts.find import find
from audit.verdicts.summary import summarize
from audit.verdicts.swap_rates import swap_effects
from benchmarks.history.worlds import read_truth

Ints = NDArray[np.int64]
CLEAN = "innocent"
"""The word of a truth for a class that owes nothing to surroundings."""


@dataclass(frozen=True)
class World:
    """A finished run, as a source of rows.

    Parameters
    ----------
    name : str
        Of the run, for people.
    scores, follow_up : DataFrame
        Its rows; of the follow-up those of images that were followed up.
    truth : mapping of class name to {'suspect', 'clean'}
        What a class is: by the world's truth; without one, by the run's own verdict.
    """

    name: str
    manifest: Manifest
    facts: RunFacts
    scores: pd.DataFrame
    follow_up: pd.DataFrame
    truth: Mapping[str, str]

    @cached_property
    def places(self) -> dict[str, Ints]:
        """The rows of each class, by name."""
        groups = self.scores.groupby("label_name").indices
        return {str(name): np.asarray(rows) for name, rows in groups.items()}

    @cached_property
    def _followed(self) -> dict[str, Ints]:
        groups = self.follow_up.groupby("sample_id").indices
        return {str(name): np.asarray(rows) for name, rows in groups.items()}

    def of(self, word: str) -> list[str]:
        """The classes of which a word of the truth is true."""
        return [name for name in self.places if self.truth.get(name) == word]

    def audit(self, rows: Ints, *, names: Sequence[str] = ()) -> Measured:
        """Judge some rows as a run of their own.

        Parameters
        ----------
        rows : int (n,)
            Places in the scores; with `names` a place may come more than once.
        names : sequence of str (n,), optional
            What the images are called, and what they hold: no two runs have an image in common
            but by its name.
        """
        drawn = self.scores.iloc[rows].reset_index(drop=True)
        before = drawn["sample_id"].tolist()
        if names:
            drawn["sample_id"] = drawn["sha256"] = list(names)
        swaps = self._swaps(before, drawn["sample_id"].tolist())
        labels = {int(k): str(v) for k, v in drawn.groupby("label")["label_name"].first().items()}
        classes = find(drawn, self.manifest, labels, self.facts.class_names, True, swaps)
        findings = summarize(
            classes, drawn, self.manifest, self.facts, ControlMeasurements(), SwapMatrix()
        )
        return Measured(self.name, self.facts, findings, drawn)

    def _swaps(self, before: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
        """The rows of the follow-up of some images, under their new names."""
        held = [self._followed.get(name, np.empty(0, np.int64)) for name in before]
        places = np.concatenate(held) if held else np.empty(0, np.int64)
        renamed = np.repeat(np.asarray(names, object), [len(one) for one in held])
        return self.follow_up.iloc[places].assign(sample_id=renamed).reset_index(drop=True)


def opened(folder: Path) -> World:
    """Read a run, with the truth of its world where that was measured."""
    scores = pd.read_parquet(folder / "scores.parquet")
    # The rest met no donors, and could be judged by nobody.
    scores = scores[swap_effects(scores)["g"].notna()].reset_index(drop=True)
    swaps = pd.read_parquet(folder / "follow_up.parquet")
    truth = {
        name: "clean" if row["truth"] == CLEAN else "suspect" if row["truth"] == "own" else "else"
        for name, row in read_truth(folder).items()
    }
    if not truth:
        words = {Verdict.SUSPECT: "suspect", Verdict.CLEAR: "clean", Verdict.WATCH: "clean"}
        held = read_findings(folder / "findings.json").findings
        truth = {f.label_name: words.get(f.verdict, "else") for f in held}
    manifest = load_manifest(folder / "manifest.yaml", expand=False)
    name = f"{folder.parent.name}/{folder.name}"
    return World(name, manifest, read_facts(folder / "run.json"), scores, swaps, truth)
