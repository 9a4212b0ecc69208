"""The run folder: every path that a run writes."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audit.errors import RunFolderError
from audit.writing import write_bytes


def file_slug(name: str) -> str:
    """Make a name safe for a file: lower-case ASCII letters, digits and dashes, 40 at most.

    Not unique: put a number before it.

    Examples
    --------
    >>> file_slug("Eskimo dog / ../husky")
    'eskimo-dog-husky'
    >>> file_slug("狼")
    'class'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return slug or "class"


@dataclass(frozen=True)
class RunFolder:
    """Where one run writes; every path of CONTRACT, and nothing beside them.

    Parameters
    ----------
    path : Path
        The folder itself.
    """

    path: Path

    @property
    def run_json(self) -> Path:
        """What ran, when, on what, and how it ended."""
        return self.path / "run.json"

    @property
    def manifest(self) -> Path:
        """The copy of the manifest."""
        return self.path / "manifest.yaml"

    @property
    def samples(self) -> Path:
        """The frozen list of samples."""
        return self.path / "samples.parquet"

    @property
    def donors(self) -> Path:
        """The bank of backgrounds that interventions draw from; removed when scoring is done."""
        return self.path / "donors"

    @property
    def outlines(self) -> Path:
        """Estimated outlines, a picture an image."""
        return self.path / "outlines"

    @property
    def masks(self) -> Path:
        """One row a mask that was looked at."""
        return self.path / "masks.parquet"

    @property
    def suspect_masks(self) -> Path:
        """The masks of suspect classes looked at, as those of :attr:`masks`."""
        return self.path / "suspect_masks.parquet"

    @property
    def scores(self) -> Path:
        """One row a sample, all shards together."""
        return self.path / "scores.parquet"

    @property
    def follow_up(self) -> Path:
        """One row a swap of the follow-up."""
        return self.path / "follow_up.parquet"

    @property
    def follow_up_parts(self) -> Path:
        """What is finished of the follow-up while it goes on."""
        return self.path / "follow_up"

    @property
    def more_images(self) -> Path:
        """One row a further image of an undecided class: its swaps."""
        return self.path / "more_images.parquet"

    @property
    def more_images_parts(self) -> Path:
        """What is finished of further images while they are measured."""
        return self.path / "more_images"

    @property
    def more_follow_up(self) -> Path:
        """One row a swap of the follow-up of further images."""
        return self.path / "more_follow_up.parquet"

    @property
    def second_outlines(self) -> Path:
        """One row an outline and sample of a suspect class: its swaps, drawn by another hand."""
        return self.path / "second_outlines.parquet"

    @property
    def second_outlines_parts(self) -> Path:
        """What is finished of other outlines while they are measured."""
        return self.path / "second_outlines"

    @property
    def second_follow_up(self) -> Path:
        """One row a swap of the follow-up with another outline."""
        return self.path / "second_follow_up.parquet"

    @property
    def controls(self) -> Path:
        """What the run measured of itself."""
        return self.path / "controls.json"

    @property
    def classes(self) -> Path:
        """One row a class."""
        return self.path / "classes.parquet"

    @property
    def classes_csv(self) -> Path:
        """One row a class, for spreadsheets."""
        return self.path / "classes.csv"

    @property
    def confusions(self) -> Path:
        """How often which label was answered with which class."""
        return self.path / "confusions.parquet"

    @property
    def log(self) -> Path:
        """What the run said while it went on."""
        return self.path / "run.log"

    @property
    def findings(self) -> Path:
        """Verdicts with their evidence."""
        return self.path / "findings.json"

    @property
    def problems(self) -> Path:
        """Each sample left out or degraded, with its reason."""
        return self.path / "problems.csv"

    @property
    def cmv(self) -> Path:
        """Class model visualizations."""
        return self.path / "cmv"

    @property
    def cmv_alignment(self) -> Path:
        """How far object and background of each image go the way of its class's CMV."""
        return self.cmv / "likenesses.parquet"

    @property
    def fiftyone(self) -> Path:
        """Samples with verdicts, masks and maps, as FiftyOne reads them."""
        return self.path / "fiftyone"

    @property
    def exhibits(self) -> Path:
        """Pictures of the samples that the report shows."""
        return self.path / "exhibits"

    @property
    def cues(self) -> Path:
        """Pictures of what in the background the suspect classes lean on."""
        return self.path / "cues"

    @property
    def swap_matrix(self) -> Path:
        """What the backgrounds of each class do to the objects of each other class."""
        return self.path / "whose_background.parquet"

    @property
    def history(self) -> Path:
        """A row a run and class, beside the runs of an audit."""
        return self.path.parent / "history.parquet"

    @property
    def reviews(self) -> Path:
        """What people decided about findings, beside the runs of an audit."""
        return self.path.parent / "reviews.jsonl"

    @property
    def baselines(self) -> Path:
        """Which runs people accepted as what later ones are laid beside."""
        return self.path.parent / "baselines.jsonl"

    @property
    def repair(self) -> Path:
        """What a repair brought, in the run that proved it."""
        return self.path / "repair.json"

    def part(self, shard: int) -> Path:
        """The scores of one shard."""
        return self.path / "scores" / f"part-{shard:05d}.parquet"

    def prepare(self) -> None:
        """Make the folder, show that it can be written, and sweep what a crash left half done.

        Raises
        ------
        RunFolderError
            The folder cannot be made or written, or holds something that is no run.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if foreign and not self.run_json.exists():
                raise RunFolderError(
                    f"{self.path}: not empty and not a run folder (found {sorted(foreign)[0]!r}). "
                    "Choose another --out."
                )
            write_bytes(self.path / ".probe", b"probe")
            (self.path / ".probe").unlink()
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written ({error})") from error
        # Files, and folders of files: all names first, since some lie in others.
        for leftover in sorted(self.path.rglob(".writing-*")):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against a second audit until the block ends.

        Raises
        ------
        RunFolderError
            It is held already; the message names by which process.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Not through a link: a folder of somebody else's would have its target emptied.
            how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(self.path / ".lock", how, 0o644)
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written ({error})") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "unknown"
                raise RunFolderError(
                    f"{self.path}: another audit is writing here ({holder}). "
                    "Wait for it, or choose another --out."
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)
