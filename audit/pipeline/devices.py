"""Where the model works, and whether it can work there as the manifest asks."""

from __future__ import annotations

import logging
import multiprocessing
import os
from multiprocessing.queues import Queue

import torch

from audit.errors import ManifestError
from audit.manifest import Manifest
from audit.models.audited import has_bfloat16
from audit.models.rounding import ROUNDING

_log = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """The device that a name means.

    Raises
    ------
    ManifestError
        A GPU is asked for and none is there, or the name is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ManifestError(
            f"--device: expected auto, cpu, cuda or cuda:i, found {name!r}"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ManifestError(f"--device {name}: torch finds no CUDA device here. Use --device cpu.")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ManifestError(
                f"--device {name}: torch finds {count} CUDA device(s) here, counted from cuda:0."
            )
        # Pinned memory and questions on bfloat16 go to the current device, whichever is used.
        if device.index is not None:
            torch.cuda.set_device(device)
    return device


def check_precision(manifest: Manifest, device: torch.device) -> None:
    """Refuse a precision that the device does not have; warn of one that it has not in hardware.

    Raises
    ------
    ManifestError
        bfloat16 is asked for on a GPU without it.
    """
    if manifest.run.precision != "bf16" or has_bfloat16(device):
        return
    if device.type == "cuda":
        raise ManifestError(
            "run.precision: this GPU has no bfloat16. Use float32, or auto, which is the same."
        )
    _log.warning(
        "run.precision: bf16: this CPU has no instructions for bfloat16; float32 is many times "
        "as fast here"
    )


def gpu_names() -> list[str]:
    """What each GPU that this process sees is called in ``CUDA_VISIBLE_DEVICES``."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return seen.split(",") if seen else [str(k) for k in range(torch.cuda.device_count())]


def shared_out(workers: int) -> list[str]:
    """The GPU of each of some workers, in turns; empty where there is none."""
    names = gpu_names()
    return [names[k % len(names)] for k in range(workers)] if names else []


def free_gpus(workers: int) -> Queue[str]:
    """A GPU for each of some processes to take; see :func:`take_gpu`."""
    free: Queue[str] = multiprocessing.get_context("spawn").Queue()
    for name in shared_out(workers):
        free.put(name)
    return free


def take_gpu(free: Queue[str]) -> None:
    """Let a process see one GPU only, its own; before CUDA is woken."""
    os.environ["CUDA_VISIBLE_DEVICES"] = free.get()


def precision_in_words(precision: str, device: torch.device) -> str:
    """In what numbers the work is done, by ``run.precision`` and the device; for the record.

    Examples
    --------
    >>> precision_in_words("auto", torch.device("cpu"))
    'float32'
    >>> precision_in_words("auto", torch.device("cuda"))
    'float32, class scores of experiments in TF32'
    """
    if precision == "bf16":
        return "bfloat16"
    rounding = ROUNDING[precision]
    if device.type != "cuda" or not rounding.scores:
        return "float32"
    return "TF32" if rounding.maps else "float32, class scores of experiments in TF32"
