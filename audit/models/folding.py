"""A cheaper twin of a network for passes that need no derivatives: BatchNorm in the convolution."""

from __future__ import annotations

import copy
import logging

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from audit.models.audited import AuditedModel
from audit.models.state import keeps_state
from audit.models.twins import no_twins, twin_of

TOLERANCE = 1e-5
"""What folding may change of a class score in float32, as a share of the largest: rounding."""

_log = logging.getLogger(__name__)
_twins = no_twins()


def folded(model: nn.Module, image: Tensor) -> nn.Module:
    """Fold BatchNorm into the convolution before it, where that changes nothing but rounding.

    In eval mode both are linear, so one convolution with other weights does what the two did.

    Parameters
    ----------
    model : nn.Module
        Its own modules stay as they are: class activation maps look into them.
    image : float (1, 3, H, W)
        On the model's device, of the form that is asked about.

    Returns
    -------
    nn.Module
        A twin with weights of its own, which follows when `model` is given other weights; `model`
        itself where it is no ``AuditedModel``, holds a forward hook, cannot be read as a graph,
        keeps state, has nothing to fold, or where the twin's scores of a noisy image were found to
        differ.
    """
    if not isinstance(model, AuditedModel):
        return model
    return twin_of(model, _twins, lambda: _twin(model, image)) or model


def _twin(model: AuditedModel, image: Tensor) -> nn.Module | None:
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return None
    if keeps_state(model, image):
        return None
    drawn = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    try:
        twin = copy.deepcopy(model)
        # In bfloat16 two ways of the same network are as far apart as two networks.
        twin.in_bfloat16 = False
        with torch.no_grad():
            wanted = twin(drawn)
            # Weights in the layout that images come in: a CPU needs not bring them there each time.
            twin.module = fuse(twin.module).to(memory_format=torch.channels_last)
            found = twin(drawn)
    except Exception as error:
        # Tracing runs the network's own code, which may say anything.
        _log.info("BatchNorm stays by itself: %s", error)
        return None
    if float((wanted - found).abs().max()) <= TOLERANCE * float(wanted.abs().max()):
        twin.in_bfloat16 = model.in_bfloat16
        return twin.eval().requires_grad_(False)
    _log.info("BatchNorm stays by itself: the scores of the folded network differ")
    return None
