"""A network by its name, torchvision's, timm's or a function's, with the weights of a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from audit.errors import ModelError
from audit.models.checkpoints import Checkpoint
from audit.models.libraries import library
from audit.models.state_dicts import Fitted, fit_weights
from audit.models.torchvision_models import classifiers, fit_torchvision
from audit.plugins import resolve


def fit_named(name: str, checkpoint: Checkpoint, chosen: str | None, folder: Path) -> Fitted:
    """Build a network and load weights into it.

    Parameters
    ----------
    name : str
        Of torchvision's, else of timm's (``timm/NAME`` where both have it), or
        ``"package.module:function"``, which returns the network; it may ask for ``classes``, the
        number of outputs.
    checkpoint : Checkpoint
        What the file holds.
    chosen : str, optional
        Which of several weights in it.
    folder : Path
        Of the manifest, where the function may lie.

    Raises
    ------
    ModelError
        No such network, or weights that do not fit.
    """
    if name in classifiers():
        return fit_torchvision(name, checkpoint, chosen, None)
    if ":" in name:
        function = resolve(name, {}, key="model.name", folder=folder)
        build = _builder(function, name)
        return fit_weights(build, checkpoint, name=name, chosen=chosen, on_meta=False)
    return fit_weights(_of_timm(name), checkpoint, name=name, chosen=chosen)


def _of_timm(name: str) -> Callable[[int], nn.Module]:
    timm = library("timm", "timm", "model.name")
    plain = name.removeprefix("timm/")
    if not timm.is_model(plain.split(".")[0]):
        raise ModelError(
            "model.name: expected the network whose weights the file holds: a name of "
            f"torchvision's or timm's, or \"package.module:function\"; found {name!r}"
        )

    def build(classes: int) -> nn.Module:
        module: nn.Module = timm.create_model(plain, pretrained=False, num_classes=classes)
        return module

    return build


def _builder(function: Callable[..., Any], name: str) -> Callable[[int], nn.Module]:
    asks = "classes" in inspect.signature(function).parameters

    def build(classes: int) -> nn.Module:
        made = function(classes=classes) if asks else function()
        if not isinstance(made, nn.Module):
            raise ModelError(
                f"model.name: {name} returned a {type(made).__name__}, expected a torch.nn.Module"
            )
        return made

    return build
