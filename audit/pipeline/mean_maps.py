"""The mean saliency map of each suspect class, over a bounded draw of its images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.findings import ClassFinding, MeanMap, Status, read_index, write_index
from audit.measuring.plan import Workbench
from audit.measuring.rows import maps_of
from audit.pipeline.session import Session
from audit.report.overlays import mean_map, to_png
from audit.report.page_limits import SPREADS
from audit.run_folder import RunFolder, file_slug
from audit.sampling import permuted
from audit.writing import write_bytes

IMAGES = 40
"""Images averaged per class: enough to show where a class looks, and a bound on the work."""


def average_maps(session: Session, suspects: Sequence[ClassFinding]) -> int:
    """Draw the mean maps that are missing; returns how many there are.

    Maps are not kept while scoring, since one costs as much memory as its image: those of a few
    images are made again, by the same seeds, so that they are the maps that were scored.

    Parameters
    ----------
    session : Session
        The audit, its scores finished.
    suspects : sequence of ClassFinding
        The most urgent first: the first get a page, and a map.
    """
    run = session.run
    scores = pd.read_parquet(run.scores, columns=["label", "status"])
    entries, missing = read_mean_maps(run), []
    for finding in suspects[:SPREADS]:
        rows = _draw(scores, finding.label, session.manifest.run.seed)
        entry = entries.get(finding.label)
        if rows and (entry is None or entry.rows != rows):
            missing.append((finding, rows))
    if missing:
        with session.workbench() as bench:
            for finding, rows in missing:
                entries[finding.label] = _average(run, bench, finding, rows)
        write_index(_index(run), [entries[label] for label in sorted(entries)])
    return len(entries)


def read_mean_maps(run: RunFolder) -> dict[int, MeanMap]:
    """The mean maps that were drawn and are still there, by label."""
    index = read_index(_index(run), MeanMap)
    return {entry.label: entry for entry in index if (run.path / entry.path).exists()}


def _index(run: RunFolder) -> Path:
    return run.exhibits / "mean_maps.json"


def _draw(scores: pd.DataFrame, label: int, seed: int) -> tuple[int, ...]:
    """Positions of at most :data:`IMAGES` scored images of a class, by the run's seed."""
    scored = (scores["label"] == label) & (scores["status"] == Status.SCORED)
    return tuple(sorted(permuted(scores.index[scored].tolist(), IMAGES, [seed, label])))


def _average(
    run: RunFolder, bench: Workbench, finding: ClassFinding, rows: tuple[int, ...]
) -> MeanMap:
    label, counted = finding.label, 0

    def maps() -> Iterator[NDArray[np.float32]]:
        nonlocal counted
        for batch in bench.batches(rows):
            if len(batch):
                batch_maps = maps_of(bench.model, batch, bench.plan).cpu().numpy()
                counted += len(batch_maps)
                yield from batch_maps

    drawn = mean_map(maps())
    folder = run.exhibits / f"{label:04d}-{file_slug(finding.label_name)}"
    path = folder / "mean-map.png"
    write_bytes(path, to_png(drawn))
    return MeanMap(
        label=label, path=path.relative_to(run.path).as_posix(), images=counted, rows=rows
    )
