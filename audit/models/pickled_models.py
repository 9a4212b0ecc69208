"""Loader of pickled networks and checkpoints that are trusted, unpickled in a child process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.architectures import fit_named
from audit.models.audited import AuditedModel
from audit.models.checkpoints import Checkpoint, load_checkpoint
from audit.models.trust import check_trust, trusted_remark

_SECONDS = 600


def pickled_model(
    device: torch.device,
    *,
    folder: Path,
    name: str,
    weights: str | Path | None = None,
    weights_entry: str | None = None,
    trust: str | None = None,
) -> AuditedModel:
    """Load the weights of a file that ``torch.save(model, ...)`` wrote, or of objects beside them.

    A child process unpickles it and hands back its tensors; they go into the network that is
    named. Code of the file runs in the child alone, as the user who audits.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    folder : Path
        Of the manifest: modules that the file needs may lie here.
    name : str
        The network: a name of torchvision's or timm's, or ``"package.module:function"``.
    weights : path
        The file.
    weights_entry : str, optional
        Which of several weights in it.
    trust : str
        Its sha256.

    Raises
    ------
    ModelError
        It is not trusted, cannot be unpickled, or does not fit.
    """
    what = "a pickled file"
    path = check_trust(weights, trust, what)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = _unpickled(path, Path(scratch) / "tensors.pt", folder)
    fitted = fit_named(name, checkpoint, weights_entry, folder)
    model = AuditedModel(
        fitted.module, None, Geometry(224, 256), name=f"{name} of {path.name}", sha256=trust or ""
    )
    model.trusted = f"{path.name}, {what}"
    model.remarks = tuple(r for r in (fitted.note, trusted_remark(path, what)) if r)
    if ":" in name:
        model.plugin_folder = folder
    return model.to(device)


def _unpickled(path: Path, target: Path, folder: Path) -> Checkpoint:
    # Not -m, which would let the folder's own files stand in for modules of this package.
    script = Path(__file__).with_name("unpickling.py")
    search = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    try:
        ended = subprocess.run(
            [sys.executable, str(script), str(path), str(target)],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": search},
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"model.weights: {path.name} was not unpickled in {_SECONDS} s. Save its tensors "
            "alone: torch.save(model.state_dict(), ...)."
        ) from None
    if ended.returncode != 0 or not target.is_file():
        message = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1][:200]
        raise ModelError(
            f"model.weights: {path.name} cannot be unpickled ({message}). Its modules must lie "
            "beside the manifest or on PYTHONPATH."
        )
    return load_checkpoint(target)
