"""What a foreground function gives, and what it is asked with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from audit.dataset.samples import Sample
from audit.errors import SampleError

BACKGROUND, FOREGROUND, IGNORED = 0, 1, 255

DRAWN_ON = ("upright", "stored")
"""The two pictures that an outline can be drawn on: as EXIF turns it, or as its pixels lie."""


@dataclass(frozen=True)
class Outline:
    """A foreground, and what has to be known of it.

    Parameters
    ----------
    mask : bool or uint8 (H0, W0)
        True on the object; or 0 background, 1 foreground, 255 neither.
    notes : tuple of str
        Codes of what was done to it, such as ``MASK_THRESHOLDED``.
    has_own_size : bool
        The mask has the size that it was drawn in; False: the size that was asked for.
    problem : SampleError, optional
        Why it cannot be used even where its size is the image's; a wrong size is named first.
    """

    mask: NDArray[Any]
    notes: tuple[str, ...] = ()
    has_own_size: bool = True
    problem: SampleError | None = None


def own_files(sample: Sample) -> list[Path]:
    """The files that a sample itself names for its foreground."""
    named = sample.mask, sample.annotation.path if sample.annotation else None
    return [path for path in named if path is not None]


def no_files(sample: Sample) -> list[Path]:
    """Of a foreground that no file holds: boxes are in the list itself, estimates are made."""
    return []


@dataclass(frozen=True)
class Foreground:
    """A function of :data:`audit.dataset.foregrounds.FOREGROUNDS`, its options fixed.

    Parameters
    ----------
    function : callable
        Takes a sample, the size ``(H0, W0)`` of its image and the sha256 of its bytes; gives a
        mask, an :class:`Outline`, or None.
    drawn_on : str or None
        ``upright`` or ``stored``: which picture outlines are drawn on where EXIF turns it;
        None: the one whose size they have, and the stored one where both have it.
    is_told_size : bool
        The function draws in the size that it is told, so that its size tells nothing.
    files : callable, optional
        Takes a sample and gives the files that its foreground is read from.
    """

    function: Callable[[Sample, tuple[int, int], str], Any]
    drawn_on: str | None = None
    is_told_size: bool = False
    files: Callable[[Sample], Sequence[Path]] = own_files

    def outline(self, sample: Sample, size: tuple[int, int], digest: str = "") -> Outline | None:
        """Ask for the foreground of one sample.

        Parameters
        ----------
        sample : Sample
            Of the dataset.
        size : (H0, W0)
            Of its image.
        digest : str
            Sha256 of the image's bytes.
        """
        # What is drawn by another hand than the run's own is not read from the listed file.
        since = None if self.files is no_files else sample.foreground_stamp
        if since is not None and self.stamp(sample) != tuple(since):
            detail = "the foreground's file is not the one that the run listed"
            raise SampleError("MASK_CHANGED_DURING_RUN", detail)
        found = self.function(sample, size, digest)
        if found is None or isinstance(found, Outline):
            return found
        return Outline(found, has_own_size=not self.is_told_size)

    def stamp(self, sample: Sample) -> tuple[int, int]:
        """Sum of the sizes in bytes and latest mtime_ns of a sample's files; -1 where none is."""
        found = []
        for path in self.files(sample):
            try:
                found.append(os.stat(path))
            except OSError:
                continue
        if not found:
            return -1, -1
        return sum(f.st_size for f in found), max(f.st_mtime_ns for f in found)
