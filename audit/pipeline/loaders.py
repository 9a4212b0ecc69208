"""How a run loads its samples: its decoding children, who draws outlines, and where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from audit.dataset.estimators import Estimator, find_estimator
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.outline_store import OutlineStore, cache_folder
from audit.manifest import Manifest
from audit.models import AuditedModel


def own_estimator(manifest: Manifest, source: str, device: torch.device) -> Estimator | None:
    """The network that draws an audit's outlines, where its foregrounds are estimated.

    Raises
    ------
    ManifestError
        It is not there.
    """
    if source != "estimated":
        return None
    declared = manifest.foreground.options.get("estimator", "u2netp")
    return find_estimator(declared, manifest.folder, device.type)


def second_estimator(manifest: Manifest, device: torch.device) -> Estimator | None:
    """The network that draws second outlines, where a manifest names one.

    Raises
    ------
    ManifestError
        It is not there.
    """
    declared, key = manifest.foreground.second_estimator, "foreground.second_estimator"
    if declared is None:
        return None
    return find_estimator(declared, manifest.folder, device.type, key=key)


def outline_store(estimator: Estimator, out: str) -> OutlineStore:
    """Where the outlines of an estimator lie: in the run folder, if any, and the user's cache."""
    own = (Path(out) / "outlines",) if out else ()
    return OutlineStore((*own, cache_folder()), estimator.identity)


def plan_of(
    manifest: Manifest, model: AuditedModel, source: str, estimator: Estimator | None, out: str
) -> LoadingPlan:
    """How the samples of an audit are loaded.

    Parameters
    ----------
    manifest, model, source
        Of the audit.
    estimator : Estimator or None
        Who draws its outlines.
    out : str
        The run folder; empty for none.
    """
    outlines = outline_store(estimator, out) if estimator else None
    options, folder = manifest.foreground.options, manifest.folder
    return LoadingPlan(model.geometry, source, options, folder, outlines)


def new_loader(manifest: Manifest, model: AuditedModel, plan: LoadingPlan) -> Loader:
    """Decoding children as many as the manifest says, or as the machine is good for."""
    # A GPU waits for the children sooner.
    most = 8 if model.device.type == "cpu" else 16
    return Loader(plan, manifest.run.workers or min(most, os.cpu_count() or 1))
