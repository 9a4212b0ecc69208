"""Networks in ONNX files: the U2-Net family, and a user's own of the same form."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
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
    stretched,
    weights_file,
)
from audit.errors import ManifestError, ModelError

SIDE = 320
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 16
"""Images at a time, where the network takes any number."""
_GPU = ("CUDAExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider")


def onnx_estimator(
    file: str,
    *,
    folder: Path,
    device: str,
    key: str = "foreground.estimator",
    side: int | None = None,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    licence: str = "",
    trained_on: str = "",
) -> Estimator:
    """A network in an ONNX file: one picture ``(N, 3, S, S)`` in, one outline out.

    Parameters
    ----------
    file : str
        Relative to the manifest.
    folder, device, key
        Given by the tool.
    side : int, optional
        Of its input; None: as the file says, or 320.
    mean, std : three numbers
        Subtracted from and dividing red, green and blue, after the brightest value is 1.
    licence, trained_on : str
        Printed in the report.
    """
    path = weights_file(file, folder, key)
    return of_file(path, Path(file).name, device, key, side, (mean, std), (licence, trained_on))


def of_file(
    path: Path,
    name: str,
    device: str,
    key: str,
    side: int | None = None,
    scaling: tuple[Sequence[float], Sequence[float]] = (MEAN, STD),
    provenance: tuple[str, str] = ("", ""),
) -> Estimator:
    """An estimator of a file that is there; see :func:`onnx_estimator`."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ManifestError(
            f'{key}: {name} needs onnxruntime: pip install "saliency-audit[masks]" '
            "(for an NVIDIA GPU also onnxruntime-gpu)"
        )
    for option, values in zip(("mean", "std"), scaling, strict=True):
        if len(values) != 3 or not all(isinstance(v, (int, float)) for v in values):
            raise ManifestError(f"{key}.{option}: expected three numbers, found {values!r}")
    input_side = check_side(side, key) if side is not None else _declared_side(path, key) or SIDE
    mean, std = (tuple(float(v) for v in values) for values in scaling)
    return Estimator(
        name=name,
        sha256=file_sha256(path),
        side=input_side,
        open=functools.partial(_open, path, mean, std, device, key),
        provenance=Provenance(*provenance),
        settings=f"onnx {mean} {std}",
    )


def _session(path: Path, key: str, providers: Sequence[str]) -> Any:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:
        # onnxruntime has a kind of exception for each kind of damage.
        raise ModelError(
            f"{key}: {path.name} cannot be opened by onnxruntime ({error}). Expected a whole .onnx "
            "file that this release knows: copy or export it again."
        ) from error


@functools.cache
def _declared_side(path: Path, key: str) -> int | None:
    (taken, *more) = _session(path, key, ["CPUExecutionProvider"]).get_inputs()
    shape = taken.shape
    if more or len(shape) != 4 or shape[1] in (1, 2, 4):
        raise ModelError(
            f"{key}: expected a network of one input (N, 3, H, W), found "
            f"{', '.join(str(one.shape) for one in (taken, *more))} in {path.name}"
        )
    return int(shape[2]) if isinstance(shape[2], int) else None


def _open(
    path: Path, mean: tuple[float, ...], std: tuple[float, ...], device: str, key: str
) -> Network:
    import onnxruntime

    able = set(onnxruntime.get_available_providers())
    first = [name for name in _GPU if name in able] if device != "cpu" else []
    session = _session(path, key, [*first, "CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    at_once = taken.shape[0] if isinstance(taken.shape[0], int) else BATCH
    shift, scale = (np.asarray(values, np.float32) for values in (mean, std))

    def network(images: NDArray[np.uint8], names: Sequence[str]) -> NDArray[np.floating]:
        found = []
        for start in range(0, len(images), at_once):
            part = images[start : start + at_once].astype(np.float32)
            count = len(part)
            if count < at_once and isinstance(taken.shape[0], int):
                part = np.concatenate([part, np.repeat(part[-1:], at_once - count, 0)])
            # As the family was trained: the brightest value of a picture is 1.
            part /= np.maximum(part.max(axis=(1, 2, 3), keepdims=True), 1e-6)
            shown = ((part - shift) / scale).transpose(0, 3, 1, 2)
            output = np.asarray(session.run(None, {taken.name: np.ascontiguousarray(shown)})[0])
            found.append(_one_outline(output, key)[:count])
        return stretched(np.concatenate(found))

    return network


def _one_outline(output: NDArray[Any], key: str) -> NDArray[np.floating]:
    if output.ndim == 4 and output.shape[1] == 1:
        output = output[:, 0]
    if output.ndim != 3:
        raise ModelError(f"{key}: expected outlines (N, 1, H, W), found {output.shape}")
    if not np.isfinite(output).all():
        raise ModelError(
            f"{key}: expected outlines of 0..1, found NaN or infinite values. Are mean and std "
            "those of its training?"
        )
    return output.astype(np.float32)
