"""From stored scores to verdicts; no model is loaded, and nothing is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from audit.cues.swap_matrix import busiest, whose_background
from audit.manifest import Manifest
from audit.run_folder import RunFolder
from audit.verdicts.decide import SUSPECT
from audit.verdicts.effects import confusions
from audit.verdicts.evidence import CLASS_COLUMNS, find, plain, write_down


@dataclass(frozen=True)
class Decided:
    """The verdicts, before anything is drawn; :func:`audit.pipeline.compose.compose` writes them.

    Parameters
    ----------
    table : DataFrame
        One row a class: the columns of ``classes.parquet``.
    confusions, backgrounds : DataFrame
        What ``confusions.parquet`` and ``whose_background.parquet`` hold.
    findings : dict
        What ``findings.json`` holds, but for exhibits, cues and CMVs.
    """

    table: pd.DataFrame
    confusions: pd.DataFrame
    backgrounds: pd.DataFrame
    findings: dict[str, Any]

    @property
    def suspects(self) -> list[dict[str, Any]]:
        """The findings of suspect classes, the most urgent first."""
        return [f for f in self.findings["findings"] if f["verdict"] == SUSPECT]


def decide(run: RunFolder, manifest: Manifest) -> Decided:
    """Give each class its verdict, with intervals and false-discovery control."""
    facts = run.read_run()
    class_names = facts["class_names"]
    labels = {int(index): name for index, name in facts["labels"].items()}
    scores = pd.read_parquet(run.scores)
    has_foregrounds = facts["foreground_source"] != "none"
    second = pd.read_parquet(run.follow_up) if run.follow_up.exists() else None
    table = find(scores, manifest, labels, class_names, has_foregrounds, second)
    confused = confusions(scores, class_names)
    backgrounds = whose_background(scores, labels)
    checks = json.loads(run.controls.read_text()) if run.controls.exists() else None
    findings = write_down(
        table, scores, manifest, confused, facts["foreground_source"], facts["model_name"], checks
    )
    findings["whose_background"] = plain(busiest(backgrounds))
    return Decided(table[list(CLASS_COLUMNS)], confused, backgrounds, findings)
