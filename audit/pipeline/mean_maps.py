"""The mean saliency map of each suspect class, over a bounded draw of its images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.findings import ClassFinding, MeanMap, Status, made_before, read_index, write_index
from audit.measuring.plan import Workbench
from audit.measuring.rows import maps_of
from audit.pipeline.drawn_parts import drawn, gathered, part_file
from audit.pipeline.progress import SILENT, Progress, counted
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.report.overlays import mean_map, to_png
from audit.report.page_limits import SPREADS
from audit.run_folder import RunFolder, file_slug
from audit.sampling import permuted
from audit.writing import write_bytes

IMAGES = 40
"""Images averaged per class: enough to show where a class looks, and a bound on the work."""


@dataclass(frozen=True)
class MeanMapPart:
    """One class whose mean map is drawn.

    Parameters
    ----------
    label, name : int, str
        The class.
    rows : tuple of int
        Positions of its images.
    """

    label: int
    name: str
    rows: tuple[int, ...]

    def path(self, session: Session) -> Path:
        """Where it is listed once it is drawn."""
        of = (session.key, self.label, self.rows)
        return part_file(session.run.exhibits, f"mean-map-{self.label:04d}", *of)


def average_maps(
    session: Session,
    suspects: Sequence[ClassFinding],
    progress: Progress = SILENT,
    runner: StepRunner = SEQUENTIAL,
) -> int:
    """Draw the mean maps that are missing; returns how many there are.

    Maps are not kept while scoring, since one costs as much memory as its image: those of a few
    images are made again, by the same seeds, so that they are the maps that were scored.

    Parameters
    ----------
    session : Session
        The audit, its scores finished.
    suspects : sequence of ClassFinding
        The most urgent first: the first get a page, and a map.
    progress, runner
        Who follows, and who draws them, a class each.
    """
    run = session.run
    scores = pd.read_parquet(run.scores, columns=["label", "status"])
    entries, missing = _still_there(run, made_before(_index(run), MeanMap)), {}
    for finding in suspects[:SPREADS]:
        rows = _draw(scores, finding.label, session.manifest.run.seed)
        entry = entries.get(finding.label)
        if rows and (entry is None or entry.rows != rows):
            missing[MeanMapPart(finding.label, finding.label_name, rows)] = len(rows)
    if missing:
        with counted(progress, "exhibits", "maps", sum(missing.values())):
            runner.run_parts("mean-map", draw_mean_map, session, progress, missing)
        made = gathered([part.path(session) for part in missing], MeanMap, "mean maps")
        entries |= {entry.label: entry for entry in made}
        write_index(_index(run), [entries[label] for label in sorted(entries)])
    return len(entries)


def draw_mean_map(session: Session, part: MeanMapPart, progress: Progress = SILENT) -> bool:
    """Draw the mean map of one class, unless that is done; returns whether it was drawn now."""
    run, path = session.run, part.path(session)
    is_new = drawn(run, path, MeanMap, lambda entry: [entry.path]) is None
    if is_new:
        with session.workbench() as bench:
            write_index(path, [_average(run, bench, part)])
    progress.advance("exhibits, maps", len(part.rows))
    return is_new


def read_mean_maps(run: RunFolder) -> dict[int, MeanMap]:
    """The mean maps that were drawn and are still there, by label."""
    return _still_there(run, read_index(_index(run), MeanMap))


def _still_there(run: RunFolder, index: Sequence[MeanMap]) -> dict[int, MeanMap]:
    return {entry.label: entry for entry in index if (run.path / entry.path).exists()}


def _index(run: RunFolder) -> Path:
    return run.exhibits / "mean_maps.json"


def _draw(scores: pd.DataFrame, label: int, seed: int) -> tuple[int, ...]:
    """Positions of at most :data:`IMAGES` scored images of a class, by the run's seed."""
    scored = (scores["label"] == label) & (scores["status"] == Status.SCORED)
    return tuple(sorted(permuted(scores.index[scored].tolist(), IMAGES, [seed, label])))


def _average(run: RunFolder, bench: Workbench, part: MeanMapPart) -> MeanMap:
    images = 0

    def maps() -> Iterator[NDArray[np.float32]]:
        nonlocal images
        for batch in bench.batches(part.rows):
            if len(batch):
                batch_maps = maps_of(bench.model, batch, bench.plan).cpu().numpy()
                images += len(batch_maps)
                yield from batch_maps

    picture = mean_map(maps())
    path = run.exhibits / f"{part.label:04d}-{file_slug(part.name)}" / "mean-map.png"
    write_bytes(path, to_png(picture))
    where = path.relative_to(run.path).as_posix()
    return MeanMap(label=part.label, path=where, images=images, rows=part.rows)
