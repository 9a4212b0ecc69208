"""Networks that lost what they had learned: weights drawn anew, of the same form."""

from __future__ import annotations

import copy

import torch
from torch import nn

from audit.errors import ModelError
from audit.models import AuditedModel


def untrained(model: AuditedModel, seed: int) -> AuditedModel:
    """A copy of the model with random weights: what its form alone makes of an image.

    (Adebayo et al. 2018, "Sanity checks for saliency maps".)

    Raises
    ------
    ModelError
        It shows no weights.
    """
    if not any(True for _ in model.module.parameters()):
        raise ModelError(
            "the network shows no weights (a graph of ONNX, say), so there is no untrained one"
        )
    blank = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        reset = set()
        for module in blank.module.modules():
            reset |= _reset(module)
        for own in blank.module.parameters():
            if id(own) not in reset:
                _scramble(own)
    return blank


def weighted_layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules that hold weights of their own, in the order in which the network holds them."""
    return [
        (name, module)
        for name, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]


def restart(module: nn.Module) -> None:
    """Draw a module's own weights anew, from the generator of PyTorch as it stands."""
    reset = _reset(module)
    for own in module.parameters(recurse=False):
        if id(own) not in reset:
            _scramble(own)


def _reset(module: nn.Module) -> set[int]:
    """Let a module draw its weights as when it was made; which of them it did, by their ids."""
    anew = getattr(module, "reset_parameters", None)
    if not callable(anew):
        return set()
    anew()
    return {id(own) for own in module.parameters(recurse=False)}


def _scramble(parameter: nn.Parameter) -> None:
    """Keep mean and spread, lose what was learned."""
    with torch.no_grad():
        order = torch.randperm(parameter.numel()).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))
