"""The bank of backgrounds, cut out in parts where others than this process can do it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audit.dataset.batches import iterate_batches
from audit.errors import AuditError
from audit.manifest import fingerprint
from audit.measuring.backgrounds import AT_ONCE, candidates, cut_out, join_bank
from audit.measuring.donors import DONOR_COLUMNS, is_whole
from audit.measuring.parts import StampedTable
from audit.pipeline.measure import open_bank
from audit.pipeline.progress import SILENT, Progress, counted
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner


@dataclass(frozen=True)
class DonorPart:
    """Some of the images that lend their backgrounds.

    Parameters
    ----------
    number : int
        By which it is named.
    rows : tuple of int
        Their positions in the list of samples.
    """

    number: int
    rows: tuple[int, ...]

    def backgrounds(self, session: Session) -> Path:
        """Their backgrounds, written before the table."""
        return self.table(session).path.with_suffix(".npy")

    def table(self, session: Session) -> StampedTable:
        """Whose they are."""
        of = fingerprint(session.key, self.rows)
        path = session.run.donors / f"part-{self.number:05d}-{of[:16]}.parquet"
        return StampedTable(path, DONOR_COLUMNS, of.encode())


def gather_donors(
    session: Session, progress: Progress = SILENT, runner: StepRunner = SEQUENTIAL
) -> None:
    """Cut the objects out of some images of each class: the backgrounds that swaps use.

    Nothing is done where the bank is there, or every swap has been made.
    """
    if all(session.part(shard).is_finished for shard in range(session.shards)):
        return
    run, manifest = session.run, session.manifest
    if not session.has_foregrounds or is_whole(run.donors):
        return
    chosen = candidates(session.table, manifest.interventions.bank, manifest.run.seed).index
    # Whole batches: on a GPU what is filled beside what else may change the last bit.
    most = -(-manifest.run.shard_size // AT_ONCE) * AT_ONCE
    if manifest.run.runner.kind == "threads" or len(chosen) <= most:
        # Here nobody else would cut them out, and laying parts together is disk and time.
        open_bank(session)
        return
    starts = range(0, len(chosen), most)
    own = [tuple(chosen[start : start + most].tolist()) for start in starts]
    parts = {DonorPart(number, rows): len(rows) for number, rows in enumerate(own)}
    with counted(progress, "donors", "images", len(chosen)):
        runner.run_parts("donors", cut_part, session, progress, parts)
    made = [(part.backgrounds(session), part.table(session).made("donors")) for part in parts]
    if lost := [path for path, _ in made if not path.exists()]:
        raise AuditError(
            f"donors: {lost[0]} was written and is not here. Workers must see the run folder under "
            "the same path."
        )
    join_bank(run.donors, made, len(chosen))
    for path in [*run.donors.glob("part-*")]:
        path.unlink()


def cut_part(session: Session, part: DonorPart, progress: Progress = SILENT) -> bool:
    """Cut the objects out of some images, unless that is done; returns whether it was done now."""
    table, backgrounds = part.table(session), part.backgrounds(session)
    is_new = table.read() is None or not backgrounds.exists()
    if is_new:
        fill, device = session.manifest.interventions.fill, session.model.device
        chosen = session.table.loc[list(part.rows)]
        backgrounds.parent.mkdir(parents=True, exist_ok=True)
        with session.loader as loader:
            batches = iterate_batches(chosen, loader, AT_ONCE)
            table.write(cut_out(backgrounds, batches, len(chosen), fill, device))
    progress.advance("donors, images", len(part.rows))
    return is_new
