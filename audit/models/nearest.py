"""Of which of torchvision's networks weights are, by the names and shapes of their tensors."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

import torchvision
from torch import Tensor

from audit.models.skeletons import skeleton_of

Shapes = set[tuple[str, tuple[int, ...]]]

_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "network.")
_MOSTLY = 0.8
_FAMILIES = {
    "trunk_output.": ("regnet",),
    "layer1.": ("resnet", "resnext", "wide_resnet"),
    "denseblock1.": ("densenet",),
    "Mixed_5b.": ("inception",),
    "inception3a.": ("googlenet",),
    "encoder.layers.": ("vit",),
    "stage2.": ("shufflenet",),
}
"""By a part of a parameter's name, so that not every network must be built to be compared."""


def networks() -> list[str]:
    """Names of torchvision's classifiers."""
    found: list[str] = torchvision.models.list_models(module=torchvision.models)
    return found


def nearest_network(state: Mapping[str, Tensor]) -> tuple[str, float]:
    """Find the network of torchvision whose parameters weights have.

    Parameters
    ----------
    state : mapping of str to Tensor
        Weights, behind the prefix of a wrapper or not.

    Returns
    -------
    str
        Its name; "" where no parameter of any is met.
    float
        Share of the parameters of both that agree in name and shape; 0..1. The last layer may have
        any number of rows.
    """
    shapes = _shapes(state)
    families = next(
        (known for part, known in _FAMILIES.items() if any(part in key for key, _ in shapes)), ("",)
    )
    agreement = {name: _agreement(shapes, name) for name in networks() if name.startswith(families)}
    best = max(agreement, key=lambda name: agreement[name], default="")
    return (best, agreement[best]) if best and agreement[best] else ("", 0.0)


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    """Names and shapes, without what wrappers put before them, and what lies beside those."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    while prefix := next(
        (p for p in _PREFIXES if shapes and _share(shapes, p) >= _MOSTLY),
        "",
    ):
        cut = len(prefix)
        shapes = {name[cut:]: shape for name, shape in shapes.items() if name.startswith(prefix)}
    return set(shapes.items())


def _share(names: Collection[str], prefix: str) -> float:
    return sum(name.startswith(prefix) for name in names) / len(names)


def _agreement(shapes: Shapes, name: str) -> float:
    with warnings.catch_warnings():
        # Some networks announce that their initialisation will change.
        warnings.simplefilter("ignore")
        module = skeleton_of(lambda: torchvision.models.get_model(name, weights=None))
    expected_shapes = _shapes(module.state_dict())
    heads = {key for key, shape in expected_shapes if shape and shape[0] == 1000}
    expected = {
        (key, shape)
        for key, shape in expected_shapes
        if key not in heads and "num_batches" not in key
    }
    given = {(key, shape) for key, shape in shapes if key not in heads and "num_batches" not in key}
    return len(expected & given) / max(1, len(expected | given))
