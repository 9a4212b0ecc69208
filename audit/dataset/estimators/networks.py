"""What a network for outlines is, whoever made it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.errors import ManifestError

Network = Callable[[NDArray[np.uint8], Sequence[str]], NDArray[np.floating]]
"""Images uint8 ``(N, S, S, 3)`` and the names of their classes in; outlines ``(N, h, w)`` out."""

_RECIPE = 1
"""Of what is done to an image on its way and to the outline on its way back."""


@dataclass(frozen=True)
class Provenance:
    """What a reader should know of a network.

    Parameters
    ----------
    licence : str
        Of its weights; empty where nobody told.
    trained_on : str
        What it learned from; empty where nobody told.
    """

    licence: str = ""
    trained_on: str = ""


@dataclass(frozen=True)
class Estimator:
    """A network that draws outlines, not opened yet.

    Parameters
    ----------
    name : str
        For people: as the manifest names it.
    sha256 : str
        Of its weights; of a user's function, of its source.
    side : int
        Images are squeezed into a square of so many pixels before they are shown to it.
    open : callable
        Opens it; slow.
    provenance : Provenance
        Licence and training.
    settings : str
        Whatever else changes what it says, in one line.
    """

    name: str
    sha256: str
    side: int
    open: Callable[[], Network]
    provenance: Provenance = Provenance()
    settings: str = ""

    @functools.cached_property
    def network(self) -> Network:
        """The network, opened once."""
        return self.open()

    @property
    def identity(self) -> str:
        """Equal where the outlines are: weights, input, settings and this tool's own recipe."""
        text = "\0".join(map(str, (_RECIPE, self.sha256, self.side, self.settings)))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """Sha256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def weights_file(named: str, folder: Path, key: str) -> Path:
    """A file of weights that a manifest names.

    Raises
    ------
    ManifestError
        There is no such file.
    """
    path = (folder / Path(named).expanduser()).resolve()
    if not path.is_file():
        raise ManifestError(
            f"{key}: no such file: {named}. Write its path, relative to the manifest."
        )
    return path


def check_side(side: object, key: str) -> int:
    """The side of a network's input, as the manifest writes it.

    Raises
    ------
    ManifestError
        It is no whole number from 32 to 2048.
    """
    if isinstance(side, bool) or not isinstance(side, int) or not 32 <= side <= 2048:
        raise ManifestError(f"{key}.side: expected pixels from 32 to 2048, found {side!r}")
    return side


def stretched(outlines: NDArray[np.floating]) -> NDArray[np.floating]:
    """Each outline ``(N, h, w)`` stretched to 0..1, as the U2-Net family is read.

    Examples
    --------
    >>> stretched(np.array([[[1.0, 2.0, 3.0]], [[4.0, 4.0, 4.0]]])).tolist()
    [[[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]]]
    """
    low = outlines.min(axis=(1, 2), keepdims=True)
    reach = outlines.max(axis=(1, 2), keepdims=True) - low
    return np.where(reach > 0, (outlines - low) / np.where(reach > 0, reach, 1), 0.0)
