"""The last linear layer of a network: what of it can be refitted without touching the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audit.cues.features import feature_reader
from audit.errors import RepairError
from audit.findings import Code
from audit.models.engine import Engine

TOLERANCE = 1e-3
"""What the layer's own arithmetic may differ from the class scores, as a share of their spread."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Weights of a last layer.

    Parameters
    ----------
    weight : float (K, D)
        One row a class.
    bias : float (K,)
        Zeros where the layer has none.
    """

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Class scores ``(N, K)`` of features ``(N, D)``."""
        return features @ self.weight.to(features).T + self.bias.to(features)


@dataclass(frozen=True, eq=False)
class Head:
    """The last linear layer of a network, and what goes into it.

    Parameters
    ----------
    name : str
        Dotted, within the user's network.
    has_bias : bool
        Whether the layer has one.
    linear : Linear
        Its weights as they are, float32 on the CPU.
    read : callable
        From images float ``(N, 3, H, W)`` in 0..1 to features float32 ``(N, D)`` on the CPU.
    """

    name: str
    has_bias: bool
    linear: Linear
    read: Callable[[Tensor], Tensor]


def find_head(model: Engine, images: Tensor) -> Head:
    """Find the last linear layer by a trace, and check that the class scores are its output.

    It is an ``nn.Linear``, or a convolution with a 1x1 kernel whose output is averaged.

    Parameters
    ----------
    model : Engine
        The audited model.
    images : float (N, 3, H, W)
        In 0..1, on the model's device; N >= 1.

    Raises
    ------
    RepairError
        There is none, or something that is not linear follows on it.
    """
    reader = feature_reader(model, images)
    if reader.source.code is not Code.FEATURES_LAST_LAYER_INPUT:
        raise RepairError(
            "this network shows no last linear layer (an nn.Linear or a 1x1 convolution that puts "
            "out a score for each class); it may be a scripted or exported graph"
        )
    name = str(reader.source.values["layer"])
    layer = model.module.get_submodule(name)
    head = Head(name, getattr(layer, "bias", None) is not None, _weights(layer), reader.read)
    with torch.no_grad():
        expected = model(images).cpu()
    found = head.linear.scores(head.read(images))
    apart = float((expected - found).abs().max())
    # Not a comparison that NaN passes.
    if not apart <= TOLERANCE * max(float(expected.std()), 1e-6):
        raise RepairError(
            f"the class scores are not the plain output of the last linear layer, {name}: "
            "something follows on it (a ReLU, a normalisation), or it is used more than once"
        )
    return head


def _weights(layer: nn.Module) -> Linear:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    plain = weight.detach().float().cpu().flatten(1)
    bias_values = (
        bias.detach().float().cpu() if isinstance(bias, Tensor) else torch.zeros(len(plain))
    )
    return Linear(plain, bias_values)
