"""A first guess at how a model is to be loaded: by what it is called and what its file holds."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor

from audit.errors import ManifestError, ModelError
from audit.models import MODELS
from audit.models.checkpoints import load_checkpoint

EXPECTED = (
    'expected a weights file, "resnet18:weights.pt", "loader:name" such as '
    '"timm:convnext_tiny:weights.pt", or "package.module:function"'
)
_BY_ENDING = {".onnx": "onnx", ".pt2": "exported"}
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "net.")
_ALIKE = 0.9
_FAMILIES = {
    "layer1.": ("resnet", "resnext", "wide_resnet"),
    "denseblock1.": ("densenet",),
    "Mixed_5b.": ("inception",),
    "inception3a.": ("googlenet",),
    "encoder.layers.": ("vit",),
    "stage2.": ("shufflenet",),
}
"""By a part of a parameter's name, so that not every network must be built to be compared."""


@dataclass
class ModelDraft:
    """What a manifest would say of a model.

    Parameters
    ----------
    section : dict
        The section ``model``; paths in it are Paths.
    guessed, unknown : list of str
        What was guessed and by what; what could not be.
    """

    section: dict[str, Any]
    guessed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def draft_model(spec: str) -> ModelDraft:
    """Look at a model.

    Parameters
    ----------
    spec : str
        A file or folder; ``name:weights`` of torchvision; ``loader:...`` for a key of
        :data:`audit.models.MODELS`; or ``package.module:function``.

    Raises
    ------
    ManifestError
        None of these.
    ModelError
        The file cannot be read as weights, or they are those of no network that is known.
    """
    if Path(spec).exists():
        return _of_file(Path(spec).resolve())
    first, _, rest = spec.partition(":")
    if first in _networks():
        return _of_torchvision(first, rest)
    if first in MODELS and rest:
        return _of_loader(first, rest)
    if not first or not rest:
        raise ManifestError(f"--model: {EXPECTED}, found {spec!r}")
    return ModelDraft({"loader": spec}, ["a function of yours"], _UNKNOWN)


_UNKNOWN = [
    "what the model was trained with: model.input holds ImageNet's values unless the weights or "
    "the function bring their own"
]


def _networks() -> list[str]:
    found: list[str] = torchvision.models.list_models(module=torchvision.models)
    return found


def _place(text: str) -> str | Path:
    return Path(text).resolve() if Path(text).exists() else text


def _of_torchvision(name: str, weights: str) -> ModelDraft:
    section = {"loader": "torchvision", "name": name, "weights": _place(weights or "DEFAULT")}
    if weights:
        return ModelDraft(section, [f"torchvision's {name}"], list(_UNKNOWN))
    said = f"torchvision's {name} with its own weights (DEFAULT), which may be downloaded"
    return ModelDraft(section, [said])


def _of_loader(loader: str, rest: str) -> ModelDraft:
    takes_name = "name" in inspect.signature(MODELS[loader]).parameters
    name, _, weights = rest.partition(":") if takes_name else ("", "", rest)
    section: dict[str, Any] = {"loader": loader}
    if name:
        section["name"] = name
    if weights:
        section["weights"] = _place(weights)
    return ModelDraft(section, [f"the loader {loader}"])


def _of_file(path: Path) -> ModelDraft:
    if (path / "config.json").is_file():
        return ModelDraft(
            {"loader": "transformers", "weights": path}, ["transformers: a folder with config.json"]
        )
    if path.suffix in _BY_ENDING:
        loader = _BY_ENDING[path.suffix]
        return ModelDraft({"loader": loader, "weights": path}, [f"{loader}: by {path.suffix}"])
    checkpoint = load_checkpoint(path)
    likeness: dict[str, float] = {}
    for entry in checkpoint.entries.values():
        held = _shapes(entry.state)
        for name in _candidates(held):
            likeness[name] = max(likeness.get(name, 0.0), _likeness(held, name))
    best = max(likeness, key=lambda name: likeness[name], default="")
    if not best or likeness[best] < _ALIKE:
        raise ModelError(
            f"--model: {path.name} holds weights of no network of torchvision (the nearest is "
            f"{best or 'none'}); say which it is: {EXPECTED}"
        )
    draft = ModelDraft(
        {"loader": "torchvision", "name": best, "weights": path},
        [f"torchvision's {best}: names and shapes of the weights are its own"],
        list(_UNKNOWN),
    )
    if checkpoint.class_names:
        draft.guessed.append(f"the file names {len(checkpoint.class_names)} classes")
    return draft


def _shapes(state: Mapping[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
    """Names and shapes, without what wrappers put before every name."""
    names = list(state)
    cut = 0
    while prefix := next(
        (p for p in _PREFIXES if names and all(name[cut:].startswith(p) for name in names)), ""
    ):
        cut += len(prefix)
    return {(name[cut:], tuple(tensor.shape)) for name, tensor in state.items()}


def _candidates(held: set[tuple[str, tuple[int, ...]]]) -> list[str]:
    families = next(
        (known for part, known in _FAMILIES.items() if any(part in key for key, _ in held)), ("",)
    )
    return [name for name in _networks() if name.startswith(families)]


def _likeness(held: set[tuple[str, tuple[int, ...]]], name: str) -> float:
    """Share of a network's parameters that weights have; the head may have any number of rows."""
    with torch.device("meta"), warnings.catch_warnings():
        # Some networks announce that their initialisation will change.
        warnings.simplefilter("ignore")
        try:
            own = _shapes(torchvision.models.get_model(name, weights=None).state_dict())
        except NotImplementedError:
            # RegNet computes its widths with tensors; it must be named.
            return 0.0
    heads = {key for key, shape in own if shape and shape[0] == 1000}
    wanted = {(key, shape) for key, shape in own if key not in heads and "num_batches" not in key}
    found = {(key, shape) for key, shape in held if key not in heads and "num_batches" not in key}
    return len(wanted & found) / max(1, len(wanted | found))
