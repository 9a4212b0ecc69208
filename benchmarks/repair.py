"""``python -m benchmarks.repair``: what refitting the last layer brings, on worlds with a truth.

Each world is audited, repaired from its run folder as a user does it, and judged on its proof
images, which had no part in the repair. Beside it stand doing nothing, and a class-balanced refit
on the same photographs without swaps. Worlds that lie ready are not made again; ``--worlds`` takes
those of ``benchmarks.detection`` and ``benchmarks.photographs``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import audit
from audit.errors import RepairError
from audit.findings import Repair, SplitPart, Verdict
from audit.pipeline.opening import open_declared
from audit.pipeline.repair import repair
from audit.pipeline.session import Session
from audit.pixels import to_float
from audit.repairs.fitting import fit
from audit.repairs.head import Head, Linear, find_head
from audit.repairs.material import Material, Picture, gather, part_bank
from audit.repairs.quality import Quality, quality
from audit.repairs.refit import CHOICES

SEEDS = {7600: "plain", 7601: "residual", 7602: "depthwise", 7603: "plain"}
"""Worlds that nothing was tuned on, and their networks."""
ON_TRUNK = (7250, 7251)
SIZE = 50
"""Images a class; half of them prove."""


def prepared(out: Path) -> list[Path]:
    """Paint the worlds and train their networks, unless that was done; returns their manifests."""
    from benchmarks.detection.files import manifest, prepare
    from benchmarks.detection.networks import TRUNK

    made = []
    for seed, architecture in (SEEDS | dict.fromkeys(ON_TRUNK, TRUNK)).items():
        folder = out / f"world-{seed}"
        prepare(folder, seed, architecture, clean=False)
        made.append(manifest(folder, architecture, SIZE, "exact"))
    return made


def one_world(path: Path, run: Path | None = None) -> dict[str, Any]:
    """Audit, repair and judge one world; what was measured is kept beside its manifest.

    Parameters
    ----------
    path : Path
        The manifest, beside the world's ``world.json``.
    run : Path, optional
        A finished audit of it; None: it is audited now.
    """
    kept = path.with_name(f"{path.stem}-repair.json")
    if kept.exists():
        held: dict[str, Any] = json.loads(kept.read_text())
        return held
    run = run or audit.run(path, path.parent / "runs" / path.stem, device="cpu").path
    better = path.with_name(f"{path.stem}-repair")
    truth = json.loads((path.parent / "world.json").read_text())["classes"]
    own = {row["name"] for row in truth if row["truth"] == "own"}
    try:
        found = repair(run, path, better, device="cpu")
    except RepairError as error:
        measured: dict[str, Any] = {"world": path.parent.name, "refused": str(error)[:200]}
    else:
        measured = _measured(path, better, found, own)
    kept.write_text(json.dumps(measured, indent=1))
    return measured


def _measured(path: Path, better: Path, found: Repair, own: set[str]) -> dict[str, Any]:
    suspects = {c.label_name: c for c in found.with_verdicts(Verdict.SUSPECT, after=False)}
    freed = {c.label_name for c in found.freed}
    newly = [
        c for c in found.with_verdicts(Verdict.SUSPECT, after=True) if c.label_name not in suspects
    ]
    return {
        "world": path.parent.name,
        "outcome": found.outcome.value,
        "own_suspect": len(own & set(suspects)),
        "own_freed": len(own & freed),
        "suspect": len(suspects),
        "freed": len(freed),
        "newly_suspect": len(newly),
        "seconds": found.seconds,
        **_qualities(path, better),
    }


def _qualities(path: Path, better: Path) -> dict[str, Any]:
    """Clean, swapped and worst accuracy on the proof part: as it was, plain refit, repaired."""
    session = open_declared(path, device="cpu")
    split = pd.read_csv(better / "split.csv").set_index("sample_id")["part"]
    parts = session.table["sample_id"].map(split)
    head = _head(session)
    with session.workbench() as bench, tempfile.TemporaryDirectory() as folder, torch.no_grad():
        some = dataclasses.replace(bench, table=session.table[parts == SplitPart.PROOF])
        proof = gather(some, part_bank(Path(folder), some), head.read)
        plain = {
            part: _originals(session, head, session.table[parts == part])
            for part in (SplitPart.REFIT, SplitPart.SELECTION)
        }
    layers = {"nothing": head.linear, "plain": _plain_refit(head.linear, plain)}
    manifest = better / "proof-after.yaml"
    layers["repair"] = (
        _head(open_declared(manifest, device="cpu")).linear if manifest.exists() else head.linear
    )
    return {
        name: _shown(quality(layer.scores(proof.vectors), proof)) for name, layer in layers.items()
    }


def _shown(held: Quality) -> dict[str, float]:
    return {"clean": held.clean, "swapped": held.swapped, "worst": held.worst}


def _head(session: Session) -> Head:
    with session.workbench() as bench:
        images = to_float(next(bench.batches(bench.table.index[:4])).images)
    return find_head(session.engine, images)


def _originals(session: Session, head: Head, table: pd.DataFrame) -> Material:
    rows, vectors = [], []
    with session.workbench() as bench:
        for batch in bench.batches(table.index):
            vectors.append(head.read(to_float(batch.images)))
            labels = zip(batch.rows, batch.targets.tolist(), strict=True)
            rows += [{"picture": Picture.ORIGINAL.value, "row": r, "label": k} for r, k in labels]
    return Material(pd.DataFrame(rows), torch.cat(vectors))


def _plain_refit(old: Linear, material: dict[SplitPart, Material]) -> Linear:
    """Refit on photographs as they are, each class as much as another; chosen by accuracy."""
    held, selection = material[SplitPart.REFIT], material[SplitPart.SELECTION]
    counts = torch.bincount(held.labels, minlength=len(old.weight))
    weights = 1 / counts[held.labels].double()
    penalties = sorted({choice.penalty for choice in CHOICES}, reverse=True)
    layers = [fit(old, held, weights / weights.sum(), penalty) for penalty in penalties]
    return max(layers, key=lambda layer: quality(layer.scores(selection.vectors), selection).clean)


def show(measured: Sequence[dict[str, Any]]) -> None:
    """Print a row a world, and the sums."""
    rows = []
    for held in measured:
        row = {name: value for name, value in held.items() if not isinstance(value, dict)}
        for name in ("nothing", "plain", "repair"):
            for key, value in held.get(name, {}).items():
                row[f"{key} {name}"] = round(100 * value, 1)
        rows.append(row)
    pd.set_option("display.width", 240, "display.max_columns", 30)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    print(table.select_dtypes("number").agg(["sum", "mean"]).round(1).to_string())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repair", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-repair"))
    parser.add_argument("--worlds", type=Path, nargs="*", help="manifests of worlds that lie ready")
    parser.add_argument("--runs", type=Path, nargs="*", help="their run folders, in this order")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    paths = options.worlds or prepared(options.out)
    runs: Sequence[Path | None] = options.runs or [None] * len(paths)
    measured = []
    for path, run in zip(paths, runs, strict=True):
        measured.append(one_world(path.resolve(), run))
        print("done:", path, file=sys.stderr, flush=True)
    show(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
