"""A child that unpickles a trusted file and hands back its tensors alone.

``python unpickling.py FILE OUT``: whatever the file does while it is unpickled, it does
in this process; what comes back is read as any file of tensors is, without trust.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def tensors_of(loaded: Any, depth: int = 3) -> Any:
    """What a checkpoint holds, reduced to mappings of tensors.

    Parameters
    ----------
    loaded : object
        A network is replaced by its state dict; what is neither tensor, network nor mapping is
        left out.
    depth : int
        Mappings within mappings that are kept.
    """
    if isinstance(loaded, nn.Module):
        loaded = loaded.state_dict()
    if isinstance(loaded, Tensor):
        return loaded.detach().cpu()
    if isinstance(loaded, Mapping) and depth:
        reduced = {str(name): tensors_of(value, depth - 1) for name, value in loaded.items()}
        return {name: value for name, value in reduced.items() if value is not None}
    return None


def main() -> None:
    """Unpickle, reduce and write."""
    source, target = map(Path, sys.argv[1:3])
    # The one place where code of a file may run: its sha256 stands in the manifest.
    loaded = torch.load(source, map_location="cpu", weights_only=False)
    torch.save(tensors_of(loaded) or {}, target)


if __name__ == "__main__":
    main()
