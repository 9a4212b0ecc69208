"""From verdicts and truth to figures: ranking quality of each indicator, recall, false flags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from audit.manifest import VerdictSection
from audit.verdicts.decide import DECISIONS, VICTIM_FLOOR

EFFECT, STRONG_EFFECT = VerdictSection().effect, VerdictSection().strong_effect

INDICATORS: Mapping[str, tuple[str, int]] = {
    "verdict (whole rule)": ("strength_of_case", 1),
    "swap, probability gap G": ("background_gap", 1),
    "swap, margin gap H": ("margin_gap", 1),
    "swap, own margin gap HX": ("own_margin_gap", 1),
    "follow-up, harm": ("victim_harm", 1),
    "attraction": ("attraction", 1),
    "background only": ("background_only", 1),
    "mass lift (default method)": ("mass_lift", -1),
    "raw foreground mass (default method)": ("foreground_mass", -1),
    "foreground and background noise (RFS)": ("rfs", -1),
    "background shuffled": ("shuffled_drop", 1),
    "object alone": ("alone_drop", 1),
    "CMV, background share": ("cmv_background_share", 1),
    "CMV, background share, failed ones null": ("cmv_share_held", 1),
}
"""What is shown of it, the column, and the sign that means background."""


def read(folder: Path, size: int, quality: str) -> pd.DataFrame:
    """All classes of all worlds in `folder`: truth beside findings of one kind of audit."""
    frames = []
    for path in sorted(folder.glob("world-*/world.json")):
        run = path.parent / "runs" / f"{size}-{quality}"
        if not (run / "classes.parquet").exists():
            continue
        world = json.loads(path.read_text())
        truth = (
            pd.DataFrame(world["classes"])
            .drop(columns=["cue"])
            .rename(columns={"name": "label_name"})
        )
        truth["planted"] = [
            f"{c['cue']['kind']} {c['cue']['correlation']}" if c["cue"] else ""
            for c in world["classes"]
        ]
        found = pd.read_parquet(run / "classes.parquet").merge(
            truth.drop(columns="label"), on="label_name"
        )
        found = found.merge(_further(run), on="label", how="left")
        if (run / "cmv_share.parquet").exists():
            shares = pd.read_parquet(run / "cmv_share.parquet")
            found = found.drop(columns=shares.columns[1:], errors="ignore")
            held = shares["cmv_background_share"].where(~shares["cmv_failed"])
            found = found.merge(shares.assign(cmv_share_held=held), on="label", how="left")
        frames.append(
            found.assign(
                world=world["seed"], architecture=world["architecture"], clean=world["clean"]
            )
        )
    table = pd.concat(frames, ignore_index=True)
    # One number for the whole rule: the larger effect, in units of the floors that it must pass.
    to_one = table["victim_harm"] / VICTIM_FLOOR
    gap = table["background_gap"]
    counts = np.fmax(gap / STRONG_EFFECT, table["decision_gap"] / DECISIONS)
    table["strength_of_case"] = np.fmax(np.minimum(gap / EFFECT, counts), to_one)
    return table


def _further(run: Path) -> pd.DataFrame:
    scores = pd.read_parquet(run / "scores.parquet")
    scores["alone_drop"] = scores["probability"] - scores["object_only_probability"]
    scores["shuffled_drop"] = scores["probability"] - scores["background_shuffled_probability"]
    return scores.groupby("label")[["alone_drop", "shuffled_drop"]].mean().reset_index()


def auroc(positive: pd.Series, negative: pd.Series) -> float:
    """Probability that a positive ranks above a negative; ties count half. NaN without either.

    Examples
    --------
    >>> auroc(pd.Series([2.0, 3.0]), pd.Series([1.0, 2.0]))
    0.875
    """
    if not len(positive) or not len(negative):
        return float("nan")
    larger = stats.mannwhitneyu(positive, negative).statistic
    return float(larger / (len(positive) * len(negative)))


def average_precision(positive: pd.Series, negative: pd.Series) -> float:
    """Area below precision over recall; equal values are one threshold.

    Examples
    --------
    >>> round(average_precision(pd.Series([3.0, 1.0]), pd.Series([2.0])), 4)
    0.8333
    """
    if not len(positive):
        return float("nan")
    total, before = 0.0, 0
    for threshold in sorted(set(positive), reverse=True):
        hits = int((positive >= threshold).sum())
        alarms = int((negative >= threshold).sum())
        total += (hits - before) * hits / (hits + alarms)
        before = hits
    return total / len(positive)


def indicator_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row each indicator: AUROC and average precision for own cues and any, recall at 5 %."""
    innocent = table["truth"] == "innocent"
    rows = []
    for name, (column, sign) in INDICATORS.items():
        if column not in table:
            continue
        # What was not measured speaks for nobody.
        values = (sign * table[column]).fillna(0.0 if column == "victim_harm" else -np.inf)
        values = values.clip(-1e9, 1e9)
        row: dict[str, object] = {"indicator": name}
        for word, guilty in (
            ("own", table["truth"] == "own"),
            ("any", table["truth"].isin(("own", "victim"))),
        ):
            row[f"AUROC {word}"] = auroc(values[guilty], values[innocent])
            row[f"AP {word}"] = average_precision(values[guilty], values[innocent])
            limit = np.quantile(values[innocent], 0.95, method="higher")
            row[f"recall {word} at 5 %"] = float((values[guilty] > limit).mean())
        rows.append(row)
    return pd.DataFrame(rows)


def verdict_row(table: pd.DataFrame) -> dict[str, object]:
    """Recall and false flags of the verdict ``suspect``, as counts and rates."""
    flagged = table["verdict"] == "suspect"
    own, victim = table["truth"] == "own", table["truth"] == "victim"
    innocent = (table["truth"] == "innocent") & ~table["clean"]
    clean = table["clean"]
    # A victim on which something was planted as well may be both; it is not asked.
    kinds = table[flagged & (own | (victim & (table["planted"] == "")))]
    right = np.where(kinds["truth"] == "own", "own_shortcut", "victim") == kinds["kind"]

    def rate(part: pd.Series, of: pd.Series) -> str:
        return (
            f"{int((part & of).sum())}/{int(of.sum())} = {(part & of).sum() / max(of.sum(), 1):.3f}"
        )

    return {
        "own-cue recall": rate(flagged, own),
        "any-cue recall": rate(flagged, own | victim),
        "false flags, shortcut models": rate(flagged, innocent),
        "flagged, clean models": rate(flagged, clean),
        "clean models with a flag": f"{table.loc[clean & flagged, 'world'].nunique()}"
        f"/{table.loc[clean, 'world'].nunique()}",
        "between (not counted)": f"{int((flagged & (table['truth'] == 'between')).sum())}"
        f"/{int((table['truth'] == 'between').sum())} flagged",
        "kind right": f"{int(right.sum())}/{len(kinds)}",
        "watch": rate(table["verdict"] == "watch", innocent | clean),
    }


def method_table(folder: Path, table: pd.DataFrame) -> pd.DataFrame:
    """A row a saliency method and target: how well low mass or low lift ranks own cues."""
    frames = [
        pd.read_parquet(path).assign(world=int(path.parents[2].name.removeprefix("world-")))
        for path in sorted(folder.glob("world-*/runs/20-exact/methods.parquet"))
    ]
    if not frames:
        return pd.DataFrame({"method": ["not measured"]})
    held = table[["world", "label", "truth"]].merge(pd.concat(frames), on=["world", "label"])
    innocent = held["truth"] == "innocent"
    rows = []
    for column in held.columns[3:]:
        row: dict[str, object] = {"method": column}
        for word, guilty in (
            ("own", held["truth"] == "own"),
            ("any", held["truth"].isin(("own", "victim"))),
        ):
            row[f"AUROC {word}"] = auroc(-held.loc[guilty, column], -held.loc[innocent, column])
        rows.append(row)
    return pd.DataFrame(rows)
