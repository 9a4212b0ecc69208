"""Copies of a network: with BatchNorm in the convolution before it, compiled, or private."""

from __future__ import annotations

import copy
import logging
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from audit.models.audited import AuditedModel
from audit.models.layout import SAME
from audit.models.rounding import tf32
from audit.threads import on_threads

TOLERANCE = 1e-5
"""What folding may change of a class score in float32, as a share of the largest: rounding."""

_log = logging.getLogger(__name__)


def folded(model: AuditedModel, image: Tensor) -> AuditedModel | None:
    """Fold BatchNorm into the convolution before it, where that changes nothing but rounding.

    In eval mode both are linear, so one convolution with other weights does what the two did.

    Parameters
    ----------
    model : AuditedModel
        Keeps no state and holds no hook, which a copy would take along. Its own modules stay as
        they are: class activation maps look into them.
    image : float (1, 3, H, W)
        On the model's device, of the form that is asked about.

    Returns
    -------
    AuditedModel or None
        A copy with weights of its own; None where the network has nothing to fold, cannot be read
        as a graph, or where the copy answers a noisy image otherwise.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return None
    drawn = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    try:
        derived = copy.deepcopy(model)
        # In bfloat16 two ways of the same network are as far apart as two networks.
        derived.in_bfloat16 = False
        # In TF32 rounding alone is larger than the tolerance.
        with torch.no_grad(), tf32(False, image.device):
            expected = derived(drawn)
            # Weights in the layout that images come in: a CPU needs not bring them there each time.
            derived.module = fuse(derived.module).to(memory_format=torch.channels_last)
            found = derived(drawn)
    except Exception as error:
        # Tracing runs the network's own code, which may say anything.
        _log.info("BatchNorm stays by itself: %s", error)
        return None
    if float((expected - found).abs().max()) <= TOLERANCE * float(expected.abs().max()):
        derived.in_bfloat16 = model.in_bfloat16
        return derived.eval().requires_grad_(False)
    _log.info("BatchNorm stays by itself: the scores of the folded network differ")
    return None


def compiled(
    model: AuditedModel, image: Tensor, count: int, layout: torch.memory_format
) -> AuditedModel | None:
    """Compile a network with ``torch.compile``, its weights frozen; for ``no_grad`` only.

    Compiling takes from seconds to minutes and needs a C++ compiler, so it is asked for and tried
    before it is believed: `count` images of noise must get the class scores of the network as it
    was, but for rounding, and on a CPU each the same to the last bit at another place of the call
    and beside other images.

    Parameters
    ----------
    model : AuditedModel
        Keeps no state. Its own modules stay as they are.
    image : float (1, 3, H, W)
        On the model's device, of the form that is asked about.
    count : int
        Images in a call.
    layout : memory_format
        In which they lie.

    Returns
    -------
    AuditedModel or None
        A copy that shares the weights; None where compiling failed or changed the answers. Then a
        warning says so.
    """
    began = time.monotonic()
    derived = copy.copy(model)
    # A shallow copy of a module shares the table of its parts, too.
    derived._modules = dict(model._modules)
    # torch's own stubs leave it untyped.
    derived.module = torch.compile(model.module, options={"freezing": True})  # type: ignore[assignment]
    drawn = torch.rand(count + 1, *image.shape[1:], generator=torch.Generator().manual_seed(0))
    first, second = (
        images[:-1].clone(memory_format=layout)
        for images in (drawn.to(image), drawn.roll(1, 0).to(image))
    )
    try:
        (same,) = on_threads(lambda _: _answers_alike(model, derived, first, second), 1)
    except Exception as error:
        # A compiler that is not there, a network it cannot read: anything may be said here.
        _log.warning("run.compile: the model is used as it is: %s", _first_line(error))
        return None
    if not same:
        _log.warning("run.compile: compiled, the model answers otherwise; it is used as it is")
        return None
    _log.info("run.compile: compiled in %.0f s", time.monotonic() - began)
    return derived


def _answers_alike(
    model: AuditedModel, derived: AuditedModel, first: Tensor, second: Tensor
) -> bool:
    """Whether a copy answers as the model; on a CPU also each image at the next place of a call."""
    with torch.inference_mode(False), torch.no_grad():
        expected, derived_scores, moved = model(first), derived(first), derived(second)
    apart = float((expected - derived_scores).abs().max())
    if not apart <= SAME[model.in_bfloat16] * float(expected.abs().max()):
        return False
    return first.device.type != "cpu" or torch.equal(derived_scores[:-1], moved[1:])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def private_copy(model: AuditedModel, half: bool) -> AuditedModel:
    """Copy a model around the same weights: hooks and switches of the copy are its own.

    Others ask the model while it is climbed, and what they report is measured without either.

    Parameters
    ----------
    model : AuditedModel
        It stays as it is.
    half : bool
        Whether the copy works in bfloat16, whatever the model does. An autocast around it would be
        undone by its own.
    """
    shared: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    try:
        copied = copy.deepcopy(model, shared)
    except Exception:
        # A network may hold what nobody can copy; then its layers are shared, too.
        copied = copy.copy(model)
    copied.in_bfloat16 = half or model.in_bfloat16
    return copied
