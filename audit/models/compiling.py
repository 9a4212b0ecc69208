"""A network compiled for passes that need no derivatives, where that was asked for."""

from __future__ import annotations

import copy
import logging
import time

import torch
from torch import Tensor, nn

from audit.models.audited import AuditedModel
from audit.models.state import SAME, keeps_state, shared_layout
from audit.models.twins import no_twins, twin_of
from audit.threads import on_threads

_log = logging.getLogger(__name__)
_twins = no_twins()


def compiled(model: nn.Module, image: Tensor, count: int) -> nn.Module:
    """Compile a network with ``torch.compile``, its weights frozen; for ``no_grad`` only.

    Compiling takes from seconds to minutes and needs a C++ compiler, so it is asked for
    (:attr:`AuditedModel.compiles`) and tried before it is believed: `count` images of noise must
    get the class scores of the network as it was, but for rounding, and on a CPU each the same to
    the last bit at another place of the call and beside other images.

    Parameters
    ----------
    model : nn.Module
        Its own modules stay as they are.
    image : float (1, 3, H, W)
        On the model's device, of the form that is asked about.
    count : int
        Images in a call on a CPU.

    Returns
    -------
    nn.Module
        A twin that shares the weights; `model` itself where it is no ``AuditedModel``, was not
        asked to compile, holds a forward hook, keeps state, is asked about images of another size
        than its own, or where compiling failed or changed the answers. Then a warning says so.
    """
    if not isinstance(model, AuditedModel) or not model.compiles:
        return model
    if image.shape[-2:] != (model.geometry.size,) * 2:
        # Each size would be compiled for itself.
        return model
    return twin_of(model, _twins, lambda: _twin(model, image, count)) or model


def _twin(model: AuditedModel, image: Tensor, count: int) -> AuditedModel | None:
    if keeps_state(model, image):
        _log.warning("run.compile: the model keeps something of an image, so it is not compiled")
        return None
    began = time.monotonic()
    twin = copy.copy(model)
    # A shallow copy of a module shares the table of its parts, too.
    twin._modules = dict(model._modules)
    # torch's own stubs leave it untyped.
    twin.module = torch.compile(model.module, options={"freezing": True})  # type: ignore[assignment]
    try:
        (same,) = on_threads(lambda _: _answers_alike(model, twin, image, count), 1)
    except Exception as error:
        # A compiler that is not there, a network it cannot read: anything may be said here.
        _log.warning("run.compile: the model is used as it is: %s", _first_line(error))
        return None
    if not same:
        _log.warning("run.compile: compiled, the model answers otherwise; it is used as it is")
        return None
    _log.info("run.compile: compiled in %.0f s", time.monotonic() - began)
    return twin


def _answers_alike(model: AuditedModel, twin: AuditedModel, image: Tensor, count: int) -> bool:
    on_cpu, layout = image.device.type == "cpu", None
    if on_cpu:
        layout = shared_layout(model, image, count)
        count = 1 if layout is None else count
    layout = layout or torch.contiguous_format
    drawn = torch.rand(count + 1, *image.shape[1:], generator=torch.Generator().manual_seed(0))
    drawn = drawn.to(image)
    first, second = (
        images[:-1].clone(memory_format=layout) for images in (drawn, drawn.roll(1, 0))
    )
    with torch.inference_mode(False), torch.no_grad():
        wanted, found, moved = model(first), twin(first), twin(second)
    apart = float((wanted - found).abs().max())
    if not apart <= SAME[model.in_bfloat16] * float(wanted.abs().max()):
        return False
    return not on_cpu or torch.equal(found[:-1], moved[1:])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
