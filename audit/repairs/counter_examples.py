"""For those who retrain: which swaps changed the answer, which image leans on what."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from torch import Tensor

from audit.cues.swap_matrix import count_swaps
from audit.findings import Findings, Kind, SplitPart, Verdict
from audit.repairs.material import Material, Picture
from audit.sampling import ordered

EACH = 50
"""Most counter-examples of a class."""
LEAST_LOST = 0.1
"""Share of swaps that must be lost before a background is worth a photograph."""


def counter_examples(material: Material, class_scores: Tensor, seed: int) -> pd.DataFrame:
    """Find the swaps of images that are answered rightly as they are and wrongly elsewhere.

    Parameters
    ----------
    material : Material
        Of one part.
    class_scores : float (n, K)
        Of its pictures.
    seed : int
        Chooses where a class has more than :data:`EACH`.

    Returns
    -------
    DataFrame
        A row a swap: ``label``, ``row`` of the object, ``donor_row``, ``donor_label``,
        ``prediction`` and ``probability`` of the label.
    """
    probability = class_scores.double().softmax(1)
    labels = material.labels
    table = material.table.assign(
        prediction=class_scores.argmax(1).numpy(),
        probability=probability.gather(1, labels[:, None])[:, 0].numpy(),
    )
    right = table["prediction"] == table["label"]
    known = set(table.loc[right & (table["picture"] == Picture.ORIGINAL), "row"])
    turned = ~right & (table["picture"] == Picture.SWAP_OTHER) & table["row"].isin(known)
    found = table[turned].drop(columns="picture").drop_duplicates(["row", "donor_row"])
    rank = {pair: i for i, pair in enumerate(ordered(_pairs(found), seed, "counter-examples"))}
    order = [rank[pair] for pair in _pairs(found)]
    shuffled = found.assign(_order=order).sort_values("_order")
    return shuffled.groupby("label").head(EACH).drop(columns="_order").sort_values(["label", "row"])


def _pairs(rows: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(rows["row"].tolist(), rows["donor_row"].tolist(), strict=True))


def group_table(
    scores: pd.DataFrame,
    parts: pd.Series[SplitPart],
    findings: Findings,
    class_names: tuple[str, ...],
) -> pd.DataFrame:
    """Put every image in a group, as GroupDRO and last-layer retraining take it.

    A background holds a class's cue where the model answers with that class when the object is
    gone from the image: an experiment of the audit, not a guess.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    parts : Series
        From :func:`audit.repairs.split.split_images`.
    findings : Findings
        Of the run.
    class_names : tuple of K str
        By output.

    Returns
    -------
    DataFrame
        ``sample_id``, ``label_name``, ``label``, ``part``, ``background_says`` (a class name, or
        empty where nothing was measured), ``cue_present`` (1: the background alone gives the
        image's own class; 0: it does not; empty: not measured), ``group`` (``2 * label +
        cue_present``), ``cue_window`` (1: the window of its background with most saliency shows the
        strongest cue of ``cue_window_class``; 0: another; empty: not looked at), ``verdict`` of the
        class.
    """
    verdicts = {finding.label: finding.verdict.value for finding in findings.findings}
    says = scores["background_only_prediction"]
    present = (says == scores["label"]).astype("Int64").where(says.notna())
    windows = _cue_windows(scores, findings)
    return pd.DataFrame(
        {
            "sample_id": scores["sample_id"],
            "label_name": scores["label_name"],
            "label": scores["label"],
            "part": parts.reindex(scores.index).fillna(""),
            "background_says": ["" if p != p else class_names[int(p)] for p in says.astype(float)],
            "cue_present": present,
            "group": 2 * scores["label"].astype("Int64") + present,
            "cue_window_class": [whose for whose, _ in windows],
            "cue_window": pd.array([shown for _, shown in windows], dtype="Int64"),
            "verdict": scores["label"].map(verdicts),
        }
    )


def _cue_windows(scores: pd.DataFrame, findings: Findings) -> list[tuple[str, int | None]]:
    """Whose cue each image was searched for, its own class's first, and whether it was seen."""
    found: dict[tuple[str, bool], tuple[str, int | None]] = {}
    labels = dict(zip(scores["sample_id"], scores["label"].tolist(), strict=True))
    for cues in (finding.cues for finding in findings.findings if finding.cues):
        for rank, cluster in enumerate(cues.clusters):
            for sample_id in cluster.sample_ids:
                is_own = labels.get(sample_id) == cues.label
                found.setdefault((sample_id, is_own), (cues.label_name, int(rank == 0)))
    nobody: tuple[str, int | None] = ("", None)
    return [
        found.get((sample_id, True), found.get((sample_id, False), nobody))
        for sample_id in scores["sample_id"]
    ]


def wanted_photographs(
    scores: pd.DataFrame, findings: Findings, labels: Mapping[int, str]
) -> pd.DataFrame:
    """List what to photograph: objects where the swaps show that they get lost.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    findings : Findings
        Of the run.
    labels : mapping of int to str
        The dataset's classes.

    Returns
    -------
    DataFrame
        The most urgent first: ``object_class``, ``where`` it shall stand (as the images of that
        class do), ``swaps`` and ``lost`` (that were answered wrongly), ``why`` (``own_shortcut``
        or ``victim``). Classes that take their own background for themselves also come as
        ``where`` for others: without such images the background stays a sign of the class.
    """
    pairs = count_swaps(scores, labels)
    suspects = {f.label: f for f in findings.with_verdict(Verdict.SUSPECT)}
    culprits = {label for label, f in suspects.items() if f.kind is Kind.OWN_SHORTCUT}
    share = pairs["lost"] / pairs["swaps"].clip(lower=1)
    concerned = pairs["label"].isin(list(suspects)) | pairs["donor_label"].isin(list(culprits))
    # Before the choice: to an empty table `assign` adds the rows of what it is given.
    needed = pairs.assign(share=share)[concerned & (share >= LEAST_LOST)]
    needed = needed.sort_values(["share", "swaps"], ascending=False, kind="stable")
    return pd.DataFrame(
        {
            "object_class": needed["label_name"],
            "where": needed["donor_name"],
            "swaps": needed["swaps"],
            "lost": needed["lost"],
            "why": [
                suspects[label].kind.value if label in suspects else Kind.VICTIM.value
                for label in needed["label"]
            ],
        }
    )
