"""The mean saliency map of each suspect class, over a bounded draw of its images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.dataset.batches import iterate_batches
from audit.dataset.loader import Loader
from audit.measuring.rows import maps_of
from audit.pipeline.session import Session
from audit.report.context import SPREADS
from audit.report.overlays import mean_map, to_png
from audit.run_folder import RunFolder, file_slug, write_bytes, write_json
from audit.sampling import permuted

IMAGES = 40
"""Images averaged per class: enough to show where a class looks, and a bound on the work."""


def average_maps(session: Session, suspects: Sequence[dict[str, Any]]) -> int:
    """Draw the mean maps that are missing; returns how many there are.

    Maps are not kept while scoring, since one costs as much memory as its image: those of a few
    images are made again, by the same seeds, so that they are the maps that were scored.

    Parameters
    ----------
    session : Session
        The audit, its scores finished.
    suspects : sequence of dict
        Findings, the most urgent first: the first get a page, and a map.
    """
    run = session.run
    scores = pd.read_parquet(run.scores, columns=["label", "status"])
    entries, missing = {e["label"]: e for e in _read(run)}, []
    for finding in suspects[:SPREADS]:
        rows = _draw(scores, finding["label"], session.manifest.run.seed)
        held = entries.get(finding["label"])
        if rows and (held is None or held["rows"] != rows):
            missing.append((finding, rows))
    if missing:
        with session.loader() as loader:
            for finding, rows in missing:
                entries[finding["label"]] = _average(session, loader, finding, rows)
        write_json(run.exhibits / "mean_maps.json", sorted(entries.values(), key=_label))
    return len(entries)


def mean_maps(run: RunFolder) -> dict[int, dict[str, Any]]:
    """What ``findings.json`` says of the mean maps that were drawn, by label."""
    return {e["label"]: {"mean_map": e["path"], "mean_map_images": e["images"]} for e in _read(run)}


def _read(run: RunFolder) -> list[dict[str, Any]]:
    path = run.exhibits / "mean_maps.json"
    held: list[dict[str, Any]] = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    )
    return [entry for entry in held if (run.path / entry["path"]).exists()]


def _label(entry: dict[str, Any]) -> int:
    return int(entry["label"])


def _draw(scores: pd.DataFrame, label: int, seed: int) -> list[int]:
    """Positions of at most :data:`IMAGES` scored images of a class, by the run's seed."""
    own = scores.index[(scores["label"] == label) & (scores["status"] == "scored")].to_numpy()
    return sorted(permuted(own, IMAGES, [seed, label]))


def _average(
    session: Session, loader: Loader, finding: dict[str, Any], rows: list[int]
) -> dict[str, Any]:
    run, label, counted = session.run, finding["label"], 0

    def maps() -> Iterator[NDArray[np.float32]]:
        nonlocal counted
        for batch in iterate_batches(session.table.loc[rows], loader, session.batch_size()):
            if len(batch):
                held = maps_of(session.engine, batch, session.measurement()).cpu().numpy()
                counted += len(held)
                yield from held

    drawn = mean_map(maps())
    folder = run.exhibits / f"{label:04d}-{file_slug(str(finding['label_name']))}"
    path = folder / "mean-map.png"
    write_bytes(path, to_png(drawn))
    return {
        "label": label,
        "path": path.relative_to(run.path).as_posix(),
        "images": counted,
        "rows": rows,
    }
