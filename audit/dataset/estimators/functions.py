"""A user's own function as an estimator: a class-prompted segmenter, a service, anything."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.dataset.estimators.networks import (
    Estimator,
    Network,
    Provenance,
    check_side,
    file_sha256,
)
from audit.errors import ModelError
from audit.plugins import bind, resolve

SIDE = 512
BATCH = 8
"""Images that a function is shown at a time."""


def function_estimator(
    function: str,
    *,
    folder: Path,
    device: str,
    key: str = "foreground.estimator",
    side: int = SIDE,
    licence: str = "",
    trained_on: str = "",
    **options: Any,
) -> Estimator:
    """A function ``(images uint8 (N, S, S, 3), **options) -> outlines (N, h, w)`` in 0..1.

    Parameters
    ----------
    function : str
        ``"package.module:function"``. Where it has a parameter `labels`, it is given the name of
        each image's class; where it has a parameter `device`, ``cpu`` or ``cuda``.
    folder, device, key
        Given by the tool.
    side : int
        Images are squeezed into a square of so many pixels.
    licence, trained_on : str
        Printed in the report.
    **options
        Those of the function.
    """
    found = resolve(function, {}, key=key, folder=folder)
    bound = bind(found, options, key=key, given={"device": device})
    takes_labels = "labels" in inspect.signature(found).parameters
    return Estimator(
        name=function,
        sha256=_source_sha256(found),
        side=check_side(side, key),
        open=functools.partial(_open, bound, takes_labels, key),
        provenance=Provenance(licence, trained_on),
        settings=f"function {function} {sorted(options.items())}",
    )


def _source_sha256(function: Callable[..., Any]) -> str:
    """Of the file that defines the function; empty where there is none."""
    try:
        path = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        path = None
    return file_sha256(Path(path)) if path and Path(path).is_file() else ""


def _open(bound: Callable[..., Any], takes_labels: bool, key: str) -> Network:
    def network(images: NDArray[np.uint8], names: Sequence[str]) -> NDArray[np.floating]:
        found = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            more = {"labels": list(names[start : start + BATCH])} if takes_labels else {}
            output = np.asarray(bound(part, **more), np.float32)
            if output.ndim != 3 or len(output) != len(part) or not np.isfinite(output).all():
                raise ModelError(
                    f"{key}: expected outlines ({len(part)}, h, w) in 0..1, found {output.shape}"
                    + ("" if np.isfinite(output).all() else " with NaN or infinite values")
                )
            if output.size and (output.min() < 0 or output.max() > 1):
                low, high = float(output.min()), float(output.max())
                raise ModelError(f"{key}: expected outlines in 0..1, found {low:g}..{high:g}")
            found.append(output)
        return np.concatenate(found)

    return network
