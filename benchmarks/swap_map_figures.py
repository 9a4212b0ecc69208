"""How often maps point at what is planted, as Markdown."""

from __future__ import annotations

import pandas as pd
from scipy.stats import binomtest, mannwhitneyu

from audit.saliency import METHODS


def _auroc(positive: pd.Series, negative: pd.Series) -> float:
    if not len(positive) or not len(negative):
        return float("nan")
    return float(mannwhitneyu(positive, negative).statistic / len(positive) / len(negative))


def held_intervals(table: pd.DataFrame) -> list[str]:
    """How often each map points at the cue, with Wilson's interval (95 %).

    And how often, by sums, at the object where a class leans on nothing.
    """
    led, innocent = table[table["kind"] != ""], table[table["kind"] == ""]
    thing = led[led["kind"] != "scene"]
    heads = ("tag, companion: surroundings", "anywhere", "any cue: anywhere", "by sums")
    lines = [f"| map | {' | '.join(heads)} | no cue: the object, by sums |", "|---" * 6 + "|"]
    for method in ("swap_map", *METHODS):
        if method not in table or not len(led):
            continue
        asked = (
            *(thing[method], thing[f"{method} anywhere"], led[f"{method} anywhere"]),
            *(led[f"{method} by sums"], innocent[f"{method} on object"]),
        )
        lines.append(f"| {method} | {' | '.join(map(_share, asked))} |")
    return lines


def _share(asked: pd.Series) -> str:
    held = asked.dropna().astype(bool)
    hits, count = int(held.sum()), len(held)
    if not count:
        return "-"
    low, high = binomtest(hits, count).proportion_ci(method="wilson")
    return f"{hits} of {count} = {hits / count:.2f} ({low:.2f} to {high:.2f})"


def show(table: pd.DataFrame) -> str:
    """The figures as Markdown."""
    kinds = ("scene", "tag", "companion")
    innocent = table[table["kind"] == ""]
    heads = [
        *(f"{kind}, surroundings" for kind in kinds[1:]),
        *(f"{kind}, anywhere" for kind in kinds),
    ]
    lines = [f"| map | {' | '.join(heads)} | own cue or not, AUROC: images | classes |"]
    lines.append("|---" * (len(heads) + 3) + "|")
    for method in ("swap_map", *METHODS):
        score = f"{method} score"
        if score not in table:
            continue
        held = table[table[score].notna()]
        where = [held.loc[held["kind"] == kind, method].mean() for kind in kinds[1:]]
        where += [held.loc[held["kind"] == kind, f"{method} anywhere"].mean() for kind in kinds]
        by_class = held.groupby(["seed", "label", "kind"])[score].mean().reset_index()
        images = _auroc(held.loc[held["kind"] != "", score], innocent[score].dropna())
        classes = _auroc(
            by_class.loc[by_class["kind"] != "", score], by_class.loc[by_class["kind"] == "", score]
        )
        shown = " | ".join(f"{value:.2f}" for value in (*where, images, classes))
        lines.append(f"| {method} | {shown} |")
    counts = table.groupby("kind").size().to_dict()
    classes_of = table.groupby("kind")["label"].apply(
        lambda held: len(set(zip(table.loc[held.index, "seed"], held, strict=True)))
    )
    chance = table[table["kind"].isin(kinds[1:])].groupby("kind")["chance"].mean()
    intervals = held_intervals(table)
    lines += ["", *intervals]
    lines.append(
        f"\nexhibits by cue: {counts}; classes: {classes_of.to_dict()}; "
        f"a part of the surroundings at random: {chance.round(2).to_dict()}"
    )
    return "\n".join(lines)
