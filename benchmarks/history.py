"""False alarms over a year, by resampling the stored rows of finished runs; no model is asked.

    python benchmarks/history.py RUN [RUN ...] [--years N] [--halves N] [--images N] [--seed N]

Of each run the classes that it calls clear are a clean world, and those that it calls suspect are
cues to be planted. Three questions, each by the rule of the product (`find`, `compare`):

- A/A: a clean world in two disjoint halves, over and over. How often is any class new, worsened,
  improved or fixed?
- Years: 52 weekly audits of a clean world, each with images drawn anew. In how many years is any
  class ever suspect, or any new?
- Cues: after a clean week the images of a class give way to those of a suspect one. After how many
  audits is it new?

Rows are drawn with replacement, so a world with few images understates how they differ: the answer
is for worlds like the run, and says how many images that was. Without the follow-up, which needs a
model.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from audit.findings import (  # noqa: E402
    Change,
    ControlMeasurements,
    RunFacts,
    SwapMatrix,
    Verdict,
    read_facts,
    read_findings,
)
from audit.history.compare import Measured, compare  # noqa: E402
from audit.manifest import Manifest, load_manifest  # noqa: E402
from audit.verdicts.find import find  # noqa: E402
from audit.verdicts.summary import summarize  # noqa: E402

WEEKS = 52
AUDITS = 4
"""How many audits a planted cue may take to be named."""
ALARMS = (Change.NEW, Change.WORSENED, Change.IMPROVED, Change.FIXED)


@dataclass(frozen=True)
class World:
    """A finished run, as a source of rows."""

    manifest: Manifest
    facts: RunFacts
    clean: dict[str, pd.DataFrame]
    cues: dict[str, pd.DataFrame]

    def audit(self, rows: pd.DataFrame) -> Measured:
        """Judge some rows as a run of their own."""
        labels = {int(k): str(v) for k, v in rows.groupby("label")["label_name"].first().items()}
        classes = find(rows, self.manifest, labels, self.facts.class_names, True)
        findings = summarize(
            classes, rows, self.manifest, self.facts, ControlMeasurements(), SwapMatrix()
        )
        return Measured("resampled", self.facts, findings, rows)


def opened(folder: Path) -> World:
    """Read a run."""
    scores = pd.read_parquet(folder / "scores.parquet")
    rows = {str(name): own for name, own in scores.groupby("label_name")}
    verdicts = {f.label_name: f.verdict for f in read_findings(folder / "findings.json").findings}
    manifest = load_manifest(folder / "manifest.yaml", expand=False)

    def of(verdict: Verdict) -> dict[str, pd.DataFrame]:
        return {name: own for name, own in rows.items() if verdicts.get(name) is verdict}

    return World(manifest, read_facts(folder / "run.json"), of(Verdict.CLEAR), of(Verdict.SUSPECT))


def week(random: np.random.Generator, rows: dict[str, pd.DataFrame], images: int) -> pd.DataFrame:
    """Images of each class, drawn anew; every one is a new one."""
    drawn = [own.iloc[random.integers(0, len(own), images)] for own in rows.values()]
    joined = pd.concat(drawn, ignore_index=True)
    joined["sample_id"] = [f"{random.integers(2**60)}-{place}" for place in range(len(joined))]
    return joined


def halves(world: World, random: np.random.Generator, times: int) -> Counter[str]:
    """A/A: the words of a world in two disjoint halves."""
    found: Counter[str] = Counter()
    for _ in range(times):
        parts: tuple[list[pd.DataFrame], list[pd.DataFrame]] = ([], [])
        for own in world.clean.values():
            order = random.permutation(len(own))
            parts[0].append(own.iloc[order[: len(own) // 2]])
            parts[1].append(own.iloc[order[len(own) // 2 :]])
        nights = [world.audit(pd.concat(part, ignore_index=True)) for part in parts]
        words = [one.change for one in compare(*nights).classes]
        found.update(word.value for word in words)
        found["audits with an alarm"] += any(word in ALARMS for word in words)
    return found


def years(world: World, random: np.random.Generator, count: int, images: int) -> Counter[str]:
    """Years of weekly audits of a clean world."""
    found: Counter[str] = Counter()
    for year in range(count):
        before, suspect, new = None, False, False
        for _ in range(WEEKS):
            night = world.audit(week(random, world.clean, images))
            suspect |= bool(night.findings.with_verdict(Verdict.SUSPECT))
            if before is not None:
                new |= bool(compare(before, night).with_change(Change.NEW))
            before = night
        found["years with a suspect class"] += suspect
        found["years with a new class"] += new
        print(f"year {year + 1}: suspect {suspect}, new {new}", flush=True)
    return found


def cues(world: World, random: np.random.Generator, images: int, times: int) -> Counter[int]:
    """After how many audits a planted cue is named; 0: not within :data:`AUDITS`."""
    found: Counter[int] = Counter()
    for name, own in world.cues.items():
        # The class before its cue: the losses of a clean one under its name.
        source = next(iter(world.clean.values()))
        label = int(own["label"].iloc[0])
        for _ in range(times):
            calm = source.assign(label=label, label_name=name)
            before = world.audit(week(random, {**world.clean, name: calm}, images))
            audits = 0
            for number in range(1, AUDITS + 1):
                night = world.audit(week(random, {**world.clean, name: own}, images))
                named = {one.label_name for one in compare(before, night).with_change(Change.NEW)}
                if name in named:
                    audits = number
                    break
            found[audits] += 1
    return found


def main() -> None:
    """Ask all three questions of each run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--years", type=int, default=100)
    parser.add_argument("--halves", type=int, default=200)
    parser.add_argument("--cues", type=int, default=20, help="times each cue is planted")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for folder in asked.runs:
        world, random = opened(folder), np.random.default_rng(asked.seed)
        images = sum(len(own) for own in world.clean.values())
        print(f"{folder.name}: {len(world.clean)} clean classes, {images} images")
        print(
            f"  A/A, {asked.halves} times:", dict(halves(world, random, asked.halves)), flush=True
        )
        print(f"  cues, n={asked.cues} each:", dict(cues(world, random, asked.images, asked.cues)))
        said = dict(years(world, random, asked.years, asked.images))
        print(f"  {asked.years} years of {WEEKS} audits:", said, flush=True)


if __name__ == "__main__":
    main()
