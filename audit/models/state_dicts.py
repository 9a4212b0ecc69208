"""Weights into a network: which of a file's tensors, by torch's own loading."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.models.checkpoints import Checkpoint
from audit.models.skeletons import skeleton_of
from audit.models.weights_entries import OTHER_NETWORK, choose_weights, note

_COUNTER = "num_batches_tracked"

Rename = Callable[[dict[str, Tensor], nn.Module], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Fitted:
    """A network with the weights of a file.

    Parameters
    ----------
    module : nn.Module
        Loaded.
    note : str
        Which of the file's weights were taken, where that is not plain; else "".
    """

    module: nn.Module
    note: str


def fit_weights(
    build: Callable[[int], nn.Module],
    checkpoint: Checkpoint,
    *,
    name: str,
    chosen: str | None = None,
    optional: Callable[[str], bool] = lambda _key: False,
    rename: Rename | None = None,
    on_meta: bool = True,
) -> Fitted:
    """Build a network with as many outputs as a file has weights for, and load them.

    Wrappers put a prefix before every name (``module.``, ``_orig_mod.``, ``model.``, or several of
    them); whichever it is, it is found by the network's own names.

    Parameters
    ----------
    build : callable
        ``(outputs) -> nn.Module`` with random weights; its default number is 1000.
    checkpoint : Checkpoint
        See :func:`audit.models.checkpoints.load_checkpoint`.
    name : str
        Of the network, for messages.
    chosen : str, optional
        Which of several weights in the file: ``model.weights_entry``.
    optional : callable
        Whether a key may be missing.
    rename : callable, optional
        ``(state, module) -> state``: the library's own code for weights under former names, asked
        where the names do not fit.
    on_meta : bool
        Whether `build` can be tried without memory.

    Returns
    -------
    Fitted
        In the state of a new module; not yet in eval mode.

    Raises
    ------
    ModelError
        Nothing in the file fits, or several weights do and none was chosen.
    """
    skeleton = skeleton_of(lambda: build(1000)) if on_meta else build(1000)
    expected = skeleton.state_dict()
    needed = {key for key in expected if not key.endswith(_COUNTER) and not optional(key)}
    candidate = choose_weights(checkpoint, needed, name=name, chosen=chosen)
    state: Mapping[str, Tensor] = candidate.state()
    if rename is not None and not needed <= set(state):
        state = rename(dict(state), skeleton)
    # Counters count the batches of a training; no answer depends on them.
    state = {k: v for k, v in state.items() if k in expected or not k.endswith(_COUNTER)}
    _check_kinds(state, expected)
    module = build(count_outputs_of(expected, state))
    _load(module, state, candidate.metadata(), name, optional)
    return Fitted(module, note(candidate, checkpoint))


def count_outputs_of(skeleton: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> int:
    """Read the number of outputs off the last tensor that differs in its first side only."""
    for key in reversed(list(skeleton)):
        ours, theirs = skeleton[key], state.get(key)
        if theirs is None or ours.ndim == 0 or theirs.ndim != ours.ndim:
            continue
        if ours.shape != theirs.shape and ours.shape[1:] == theirs.shape[1:]:
            return int(theirs.shape[0])
    return 1000


def _check_kinds(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse numbers that torch would turn into others without a word."""
    for key, value in state.items():
        if key not in expected or not expected[key].is_floating_point():
            continue
        if value.is_quantized or value.layout != torch.strided or not value.is_floating_point():
            kind = "quantized" if value.is_quantized else str(value.dtype).removeprefix("torch.")
            raise ModelError(
                f"model.weights: {key} is {kind} ({str(value.layout).removeprefix('torch.')}), "
                "expected dense floating-point numbers. Save the weights as float32."
            )


def _load(
    module: nn.Module,
    state: Mapping[str, Tensor],
    metadata: Mapping[str, object],
    name: str,
    optional: Callable[[str], bool],
) -> None:
    try:
        missing, unexpected = _try_loading(module, state, metadata)
    except ValueError:
        # MNASNet insists on a version, which safetensors and plain dicts do not hold.
        own = getattr(module.state_dict(), "_metadata", {})
        missing, unexpected = _try_loading(module, state, own)
    except RuntimeError:
        raise ModelError(
            f"model.weights: the file does not fit {name}: "
            f"{key_difference(module.state_dict(), state)}. {OTHER_NETWORK}"
        ) from None
    lacking = [key for key in missing if not key.endswith(_COUNTER) and not optional(key)]
    if lacking or unexpected:
        expected = {key: value for key, value in module.state_dict().items() if not optional(key)}
        difference = key_difference(expected, state)
        raise ModelError(
            f"model.weights: the file does not fit {name}: {difference}. {OTHER_NETWORK}"
        )


def _try_loading(
    module: nn.Module, state: Mapping[str, Tensor], metadata: Mapping[str, object]
) -> tuple[list[str], list[str]]:
    ordered = OrderedDict(state)
    setattr(ordered, "_metadata", OrderedDict(metadata))  # noqa: B010 - mypy knows no such field
    missing, unexpected = module.load_state_dict(ordered, strict=False)
    return list(missing), list(unexpected)


def key_difference(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """What stands between two state dicts, in a sentence; "" where nothing does."""
    counters = {key for key in expected if key.endswith(_COUNTER)}
    missing = sorted(set(expected) - set(given) - counters)
    unexpected = sorted(set(given) - set(expected))
    shapes = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(set(expected) & set(given))
        if expected[name].shape != given[name].shape
    ]
    parts = [
        f"{len(names)} {word} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for word, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
        )
        if names
    ]
    return "; ".join(parts)
