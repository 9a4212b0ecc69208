"""From stored scores to verdicts; no model is loaded, and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.cues.swap_matrix import busiest, count_swaps, matrix_table
from audit.dataset.mask_findings import are_doubtful
from audit.findings import ClassFinding, Findings, RunFacts, Verdict, read_controls, read_facts
from audit.manifest import Manifest
from audit.measuring.columns import is_table
from audit.pipeline.masks import agreements, are_masks_doubtful, cuts_of, findings_of
from audit.run_folder import RunFolder
from audit.verdicts.find import find
from audit.verdicts.masks_beside import (
    classes_without_objects,
    drop_suspicions,
    masks_lie_beside,
)
from audit.verdicts.more_images import MoreImages, may_be_looked_at_twice
from audit.verdicts.outlines import LOOSE, OtherOutlines, hold_against_outlines
from audit.verdicts.summary import summarize
from audit.verdicts.tables import confusion_table

_UNREAD = ("path", "detail", "notes", "sha256", "rank_accuracy", "pointing_hit")
"""No verdict rests on them, and of a million images the texts alone are most of the memory."""


@dataclass(frozen=True)
class Decided:
    """The verdicts, before anything is drawn; :func:`audit.pipeline.compose.compose` writes them.

    Parameters
    ----------
    findings : Findings
        The record, but for exhibits, cues and CMVs.
    confusions, swap_counts : Table
        What ``confusions.parquet`` and ``whose_background.parquet`` hold.
    """

    findings: Findings
    confusions: pa.Table
    swap_counts: pa.Table

    @property
    def suspects(self) -> tuple[ClassFinding, ...]:
        """The findings of suspect classes, the most urgent first."""
        return self.findings.with_verdict(Verdict.SUSPECT)


def decide(run: RunFolder, manifest: Manifest) -> Decided:
    """Give each class its verdict, with intervals and false-discovery control."""
    facts = read_facts(run.run_json)
    # By the names that are there: runs of former releases have fewer columns.
    there = pq.read_schema(run.scores).names
    scores = pd.read_parquet(run.scores, columns=[n for n in there if n not in _UNREAD])
    follow_up = pd.read_parquet(run.follow_up) if run.follow_up.exists() else None
    has_foregrounds = facts.foreground_source != "none"
    given = (scores, manifest, facts.labels, facts.class_names, has_foregrounds, follow_up)
    classes = find(*given, more_images_of(run, manifest))
    if manifest.foreground.second_outline != "never":
        beside, asked = classes_without_objects(scores, manifest.verdict.minimum_images)
        if masks_lie_beside(beside, asked):
            classes = drop_suspicions(classes, beside, asked)
        elif (others := _other_outlines(run, facts, manifest)) is not None:
            classes = hold_against_outlines(classes, scores, others, manifest, facts.class_names)
    counted = count_swaps(scores, facts.labels)
    checks = read_controls(run.controls)
    findings = summarize(classes, scores, manifest, facts, checks, busiest(counted))
    return Decided(
        _with_masks(findings, run),
        confusion_table(scores, facts.class_names, facts.run_id),
        matrix_table(counted, facts.run_id),
    )


def more_images_of(run: RunFolder, manifest: Manifest) -> MoreImages:
    """Which classes of a run may have been looked at twice, and what was measured of them.

    None where the manifest has no second look, and in runs of before there was one: those are
    decided by their first images, as they were.
    """
    if not (is_table(run.more_images) and is_table(run.more_follow_up)):
        return MoreImages(frozenset())
    labels = pq.read_table(run.scores, columns=["label"])["label"].to_pandas()
    twice = may_be_looked_at_twice(labels, manifest)
    if not twice:
        return MoreImages(frozenset())
    swaps, pairs = (
        table[table["label"].isin(list(twice))].drop(columns="run_id").reset_index(drop=True)
        for table in map(pd.read_parquet, (run.more_images, run.more_follow_up))
    )
    return MoreImages(twice, swaps, pairs)


def _with_masks(findings: Findings, run: RunFolder) -> Findings:
    """The record, with what was found of the masks."""
    quality = findings.foreground_quality
    masks = findings_of(run, quality.source)
    changed = quality.model_copy(update={"masks": masks, "doubtful": are_doubtful(masks)})
    agreed = agreements(run)
    classes = tuple(
        f.with_evidence(outline_agreement=agreed[f.label_name]) if f.label_name in agreed else f
        for f in findings.findings
    )
    return findings.model_copy(update={"foreground_quality": changed, "findings": classes})


def _other_outlines(run: RunFolder, facts: RunFacts, manifest: Manifest) -> OtherOutlines | None:
    """What was measured of the suspect classes with other outlines; None where nothing was."""
    declared = manifest.foreground.second_outline
    if not is_table(run.second_outlines):
        return None
    return OtherOutlines(
        pd.read_parquet(run.second_outlines),
        pd.read_parquet(run.second_follow_up),
        declared == "always"
        or facts.foreground_source in LOOSE
        or are_masks_doubtful(run, facts.foreground_source),
        agreements(run),
        cuts_of(run, facts.foreground_source),
    )
