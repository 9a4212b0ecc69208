"""From rows to figures: what was found, who was accused, and whether `clear` can be relied on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from audit.verdicts.rates import wilson
from benchmarks.detection.quality import auroc

WITNESSES: Mapping[str, tuple[str, int]] = {
    "swap, probability gap": ("background_gap", 1),
    "swap, own margin gap": ("own_margin_gap", 1),
    "attraction": ("attraction", 1),
    "background only": ("background_only", 1),
    "Grad-CAM, mass lift": ("mass_lift", -1),
    "Grad-CAM, raw mass": ("foreground_mass", -1),
}
"""What is shown of it, the column, and the sign that means background."""
WELL_RECOGNISED = 0.8


def read(out: Path, seeds: Sequence[int], variant: str) -> pd.DataFrame:
    """All classes of the worlds that were audited by one kind of mask, a row a class."""
    frames = []
    for seed in seeds:
        path = out / f"world-{seed}" / "row.json"
        row = json.loads(path.read_text()) if path.exists() else {"audits": {}}
        if variant in row["audits"]:
            held = pd.DataFrame(row["audits"][variant])
            facts = {name: row[name] for name in ("seed", "trunk", "tail", "clean")}
            frames.append(held.assign(**facts))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def rate(part: pd.Series, of: pd.Series) -> str:
    """How many of them, as a count and a rate with its 95 % Wilson interval.

    Examples
    --------
    >>> rate(pd.Series([True, False, True]), pd.Series([True, True, False]))
    '1 of 2 = 0.50 (0.09 to 0.91)'
    """
    hits, total = int((part & of).sum()), int(of.sum())
    if not total:
        return "0 of 0"
    low, high = wilson(hits, total)
    return f"{hits} of {total} = {hits / total:.2f} ({low:.2f} to {high:.2f})"


def figures(table: pd.DataFrame) -> dict[str, str]:
    """What the verdicts of one kind of mask are worth."""
    flagged, clear = table["verdict"] == "suspect", table["verdict"] == "clear"
    clean = table["clean"].astype(bool)
    own, victim = table["truth"] == "own", table["truth"] == "victim"
    innocent = table["truth"] == "innocent"
    asked = table[flagged & (own | (victim & ~table["planted"].astype(bool)))]
    kinds = pd.Series(np.where(asked["truth"] == "own", "own_shortcut", "victim"), asked.index)
    affected = table[flagged & victim & (table["kind"] == "victim")]
    names = {
        (seed, label): name
        for seed, label, name in zip(
            table["seed"], table["label"], table["label_name"], strict=True
        )
    }
    thieves = [
        names.get((seed, label))
        for seed, label in zip(affected["seed"], affected["attractor_label"], strict=True)
    ]
    every, those = pd.Series(True, asked.index), pd.Series(True, affected.index)
    return {
        "own cue found": rate(flagged, own),
        "affected by another found": rate(flagged, victim),
        "any found": rate(flagged, own | victim),
        "flagged among innocent, planted worlds": rate(flagged, innocent & ~clean),
        "flagged among the classes of clean models": rate(flagged, clean),
        "clean models with a flag": f"{table.loc[clean & flagged, 'seed'].nunique()} of "
        f"{table.loc[clean, 'seed'].nunique()}",
        "affected among all clear": rate(own | victim, clear),
        f"clear among innocent of recall >= {WELL_RECOGNISED}": rate(
            clear, innocent & (table["recall"] >= WELL_RECOGNISED)
        ),
        "kind right, where flagged": rate(kinds == asked["kind"], every),
        "attracting class right, where flagged as affected": rate(
            pd.Series(thieves, affected.index, dtype=object) == affected["attractor"], those
        ),
    }


def witnesses(table: pd.DataFrame) -> pd.DataFrame:
    """A row each witness: AUROC for own cues and for any, against the innocent of all worlds."""
    innocent, rows = table["truth"] == "innocent", []
    for name, (column, sign) in WITNESSES.items():
        values = (sign * table[column].astype(float)).fillna(-1e9).clip(-1e9, 1e9)
        own, any_ = table["truth"] == "own", table["truth"].isin(("own", "victim"))
        rows.append(
            {
                "witness": name,
                "AUROC own": auroc(values[own], values[innocent]),
                "AUROC any": auroc(values[any_], values[innocent]),
            }
        )
    return pd.DataFrame(rows)


def show(out: Path, seeds: Sequence[int], variants: Sequence[str]) -> None:
    """Print every table that the worlds at hand allow."""
    for variant in variants:
        table = read(out, seeds, variant)
        if table.empty:
            continue
        counts = table["truth"].value_counts().to_dict()
        print(f"\n== {variant} masks, {table['seed'].nunique()} worlds; classes: {counts}")
        errors = table[["own_se", "moved_se"]].astype(float).mean().round(3).to_dict()
        print(f"mean standard error of the truth's losses: {errors}")
        print("\n".join(f"  {name}: {said}" for name, said in figures(table).items()))
        print(witnesses(table).round(3).to_string(index=False))
