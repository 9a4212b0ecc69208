"""New weights in the place of old ones: the same format and keys, another last layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from audit.errors import RepairError
from audit.models.checkpoints import load_checkpoint
from audit.repairs.head import Head, Linear
from audit.writing import write_atomically


def write_weights(source: Path, target: Path, head: Head, new: Linear) -> tuple[str, ...]:
    """Copy a weights file with another last layer; everything else in it stays as it is.

    Parameters
    ----------
    source : Path
        ``.safetensors``, or a torch file of tensors; it is read with ``weights_only=True`` and
        never changed.
    target : Path
        The copy, of the same format.
    head : Head
        The layer as it is: by its values it is found in the file, whatever its key.
    new : Linear
        What takes its place.

    Returns
    -------
    tuple of str
        The keys that were replaced.

    Raises
    ------
    RepairError
        The file does not hold the layer, or holds its values more often than its names tell.
    ModelError
        The file cannot be read.
    """
    checkpoint = load_checkpoint(source)
    states = {key: entry.state for key, entry in checkpoint.entries.items()}
    keys = _keys(states, head.name, "weight", head.linear.weight, source)
    replaced = dict.fromkeys(keys, new.weight)
    if head.has_bias:
        keys = _keys(states, head.name, "bias", head.linear.bias, source)
        replaced |= dict.fromkeys(keys, new.bias)
    if source.suffix == ".safetensors":
        _write_safetensors(source, target, {name: value for (_, name), value in replaced.items()})
    else:
        state = torch.load(source, map_location="cpu", weights_only=True, mmap=False)
        changed = _replaced(state, replaced)
        write_atomically(target, lambda temporary: torch.save(changed, temporary))
    return tuple(".".join(part for part in key if part) for key in replaced)


_Key = tuple[str, str]
"""An entry of the file, and the name of a tensor in it."""


def _keys(
    states: Mapping[str, Mapping[str, Tensor]], layer: str, kind: str, value: Tensor, source: Path
) -> list[_Key]:
    """Where in a file the layer's values lie; several entries may hold the same."""
    same = [
        (entry, name)
        for entry, state in states.items()
        for name, tensor in state.items()
        if _is_same(tensor, value)
    ]
    named = [key for key in same if f".{key[1]}".endswith(f".{layer}.{kind}")]
    found = named or [key for key in same if key[1].split(".")[-1] == kind]
    names = {name for _, name in found}
    if len(names) != 1:
        what = "does not hold" if not names else f"holds {len(names)} times"
        raise RepairError(
            f"{source.name} {what} the {kind} of the last layer, {layer}, as the network uses it: "
            "no drop-in file can be written"
        )
    return found


def _is_same(tensor: Tensor, value: Tensor) -> bool:
    if tensor.numel() != value.numel() or not tensor.is_floating_point():
        return False
    return len(tensor) == len(value) and torch.equal(tensor.float().reshape(value.shape), value)


def _like(new: Tensor, old: Tensor) -> Tensor:
    """New values in the form and number type of the old tensor."""
    return new.to(old.dtype).reshape(old.shape).contiguous()


def _write_safetensors(source: Path, target: Path, replaced: Mapping[str, Tensor]) -> None:
    with safe_open(source, framework="pt") as opened:
        metadata = opened.metadata()
        state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    for name, value in replaced.items():
        state[name] = _like(value, state[name])
    write_atomically(target, lambda temporary: save_file(state, temporary, metadata))


def _replaced(loaded: Any, replaced: Mapping[_Key, Tensor], entry: str = "") -> Any:
    """The mapping of a torch file with some tensors replaced, in place: order and notes stay."""
    for name, value in loaded.items():
        if isinstance(value, Tensor) and (entry, str(name)) in replaced:
            loaded[name] = _like(replaced[entry, str(name)], value)
        elif isinstance(value, dict):
            _replaced(value, replaced, f"{entry}.{name}" if entry else str(name))
    return loaded
