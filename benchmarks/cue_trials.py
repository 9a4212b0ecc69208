"""``python -m benchmarks.cue_trials``: whether pasted windows tell the planted cue from others.

For every class of a painted world that truly leans on its own cue, the windows that the audit
finds are put to the test as in the report. Truth: the painter knows which pixels are planted.
``--worlds`` takes manifests of ``benchmarks.detection``, ``--runs`` finished audits of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from audit.cues.find import Crop, Cue, find_cues
from audit.cues.induction import gather_photographs, induce
from audit.findings import read_findings
from audit.measuring.plan import Workbench
from audit.pipeline.cue_plans import CuePlan, plans
from audit.pipeline.opening import open_declared
from audit.run_folder import RunFolder
from benchmarks.detection.files import SIZES, side_of
from benchmarks.detection.pictures import paint
from benchmarks.detection.worlds import World, make_world

SHOWN = 0.5
"""A window shows the cue where it holds this share of the smaller of the two, window or cue."""

_MEASURED = ("raised", "became", "control")


def planted_pixels(world: World, label: int) -> NDArray[np.bool_]:
    """What is planted in each audited picture of a class ``(50, side, side)``."""
    name = world.names[label]
    random = np.random.default_rng([world.seed, 3, label])
    names = [name] * max(SIZES)
    return paint(world, names, names, world.seed * 10 + 3, random).cues


def one_world(manifest: Path, run: Path) -> list[dict[str, Any]]:
    """Try the cues of every class with a true cue; a row a class."""
    truth = json.loads((manifest.parent / "world.json").read_text())
    world = make_world(truth["seed"], clean=truth["clean"], side=side_of(truth["architecture"]))
    own = {row["label"]: row["cue"]["kind"] for row in truth["classes"] if row["truth"] == "own"}
    session = open_declared(manifest, device="cpu")
    folder = RunFolder(run)
    findings = [f for f in read_findings(folder.findings).findings if f.label in own]
    rows = []
    with session.workbench() as bench, torch.no_grad():
        for plan in plans(session, pd.read_parquet(folder.scores), findings):
            planted = planted_pixels(world, plan.label)
            found = _tried(plan, bench, planted, session.table["sample_id"])
            rows.append(
                {"world": truth["seed"], "kind": own[plan.label], "class": plan.name} | found
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _tried(
    plan: CuePlan, bench: Workbench, planted: NDArray[np.bool_], ids: pd.Series
) -> dict[str, Any]:
    """How the clusters rank, and what the first one does."""
    search = find_cues(plan.rows, plan.rows_elsewhere, plan.label, bench)
    targets = gather_photographs(plan.targets, bench)
    lenders = gather_photographs(plan.lenders, bench)
    if not search.cues or targets is None or lenders is None:
        return {"clusters": len(search.cues)}

    def effects(cue: Cue) -> list[float]:
        assert targets is not None
        assert lenders is not None
        tried = [
            induce(cue.crops, targets, lenders, plan.label, bench, all_over=all_over)
            for all_over in (False, True)
        ]
        rates = [float(t.became.mean()) if len(t.became) else np.nan for t in tried]
        controls = [float(t.became_control.mean()) if len(t.became) else np.nan for t in tried]
        raised = [float(t.raised.mean()) / plan.lead if len(t.raised) else -np.inf for t in tried]
        return [*raised, *rates, *controls]

    measured = [effects(cue) for cue in search.cues]
    true = [_is_true(cue, planted, ids) for cue in search.cues]
    first = max(range(len(measured)), key=lambda k: max(measured[k][:2]))
    names = [f"{what} {where}" for what in _MEASURED for where in ("here", "all over")]
    return {
        "clusters": len(true),
        "true": sum(true),
        "first by effect": true[first],
        "first by count": true[0],
        **{name: round(value, 2) for name, value in zip(names, measured[first], strict=True)},
    }


def _is_true(cue: Cue, planted: NDArray[np.bool_], ids: pd.Series) -> bool:
    """Whether most windows of a cluster show what was planted."""
    return float(np.mean([_shows(crop, planted, ids) for crop in cue.crops])) > SHOWN


def _shows(crop: Crop, planted: NDArray[np.bool_], ids: pd.Series) -> bool:
    here = planted[int(Path(ids.loc[crop.row]).stem)]
    (top, left), (height, width) = crop.corner, crop.pixels.shape[:2]
    held = int(here[top : top + height, left : left + width].sum())
    return held > 0 and held >= SHOWN * min(height * width, int(here.sum()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cue_trials", description=__doc__)
    parser.add_argument("--worlds", type=Path, nargs="+", required=True)
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    pairs = zip(options.worlds, options.runs, strict=True)
    rows = [row for world, run in pairs for row in one_world(world.resolve(), run.resolve())]
    pd.set_option("display.width", 240, "display.max_columns", 30)
    print(pd.DataFrame(rows).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
