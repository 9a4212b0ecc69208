"""The saliency method of a run, and what is said where it is not the one that was asked for."""

from __future__ import annotations

import logging

import torch

from audit.manifest import Manifest
from audit.models.engine import Engine
from audit.plugins import bind, resolve
from audit.saliency import METHODS
from audit.saliency.choosing import MethodChoice, Unserved, choose_method

_log = logging.getLogger(__name__)


def method_that_serves(manifest: Manifest, engine: Engine) -> MethodChoice:
    """Take the manifest's saliency method, or one that can serve the model; the log says so.

    Raises
    ------
    ManifestError
        No such method or option.
    ModelError
        A layer that somebody named does not exist, or has no places.
    """
    asked, options = manifest.saliency.method, manifest.saliency.options
    method = resolve(asked, METHODS, key="saliency.method", folder=manifest.folder)
    bind(method, options, key="saliency.options")
    side = engine.geometry.size
    drawn = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    chosen = choose_method(method, asked, options, model=engine, image=drawn.to(engine.device))
    if chosen.reason is not None:
        _log.warning("saliency.method: %s", described(chosen))
    return chosen


NO_CMVS = (
    "no class model visualizations are made, since the class score has no derivative with respect "
    "to the image"
)

_UNSERVED = {
    Unserved.NO_GRID: "no layer of the network puts out a grid of places",
    Unserved.NO_ATTENTION: "no layer of the network attends from all places to all of them",
    Unserved.NOT_RECTIFIED: "the network has other activations than ReLU",
    Unserved.NO_DERIVATIVE: "the class score has no derivative with respect to the image",
}


def described(choice: MethodChoice) -> str:
    """Say which method was taken, in the place of which and why."""
    if choice.reason is None:
        return choice.name
    return f"{choice.name} in place of {choice.instead_of}, since {_UNSERVED[choice.reason]}"
