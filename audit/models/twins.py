"""Twins of a network: the same answers in another form, kept until it is given other weights."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, MutableMapping

from torch import nn

_Written = tuple[tuple[int, int], ...]
Twins = MutableMapping[nn.Module, tuple[_Written, nn.Module | None]]


def no_twins() -> Twins:
    """An empty store, which keeps no network alive."""
    return weakref.WeakKeyDictionary()


def twin_of(
    model: nn.Module, twins: Twins, make: Callable[[], nn.Module | None]
) -> nn.Module | None:
    """Return the twin in `twins`, or make one where there is none of these weights.

    None while any module of `model` holds a forward hook: a twin would never call it, and one
    made now by copying would keep it for ever.

    Parameters
    ----------
    model : nn.Module
        Of whom.
    twins : Twins
        Where those of one form are kept; also that there is none.
    make : callable
        Returns the twin, None where there can be none.
    """
    if any(module._forward_hooks for module in model.modules()):
        return None
    written = tuple(_written(model))
    known, twin = twins.get(model, (None, None))
    if known != written:
        twin = make()
        twins[model] = (written, twin)
    return twin


def _written(model: nn.Module) -> Iterator[tuple[int, int]]:
    """Which tensors the network is made of, and how often each was written."""
    for tensors in (model.parameters(), model.buffers()):
        for tensor in tensors:
            yield tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version
