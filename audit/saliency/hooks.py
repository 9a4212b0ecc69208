"""The one recorder of forward passes: what named modules put out, while a ``with`` block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import nn

T = TypeVar("T")
Keep = Callable[[str, tuple[Any, ...], Any], T | None]


class Recording(Generic[T]):
    """What was kept of the calls, in order of execution; each thread sees its own alone.

    Several passes may go through one network side by side, each on a thread.
    """

    def __init__(self) -> None:
        self._calls: dict[int, list[T]] = {}

    @property
    def calls(self) -> list[T]:
        """Of this thread, the last at the end."""
        return self._calls.setdefault(threading.get_ident(), [])

    def take_last(self) -> T | None:
        """Forget all calls of this thread but return the last one; None where there was none."""
        calls = self.calls
        last = calls[-1] if calls else None
        calls.clear()
        return last

    def clear(self) -> None:
        """Forget the calls of all threads."""
        self._calls.clear()


@contextmanager
def record_calls(
    modules: Mapping[str, nn.Module],
    keep: Keep[T],
    pass_on: Callable[[T], Any] | None = None,
) -> Iterator[Recording[T]]:
    """Record calls of modules; neither a hook nor a tensor outlives the block.

    Inside the block ask the model itself. A folded or compiled copy never calls the hooks of the
    original, which is why :mod:`audit.models` makes and uses none while a hook is set.

    Parameters
    ----------
    modules : mapping of str to nn.Module
        By the name that `keep` is given.
    keep : callable
        ``(name, inputs, output) -> value``: what is kept of a call, None for nothing. It is called
        in the thread of the call; what it raises ends the forward pass.
    pass_on : callable, optional
        From a value that was kept to what goes on through the network in place of the output.

    Yields
    ------
    Recording
        Empty at first.

    Examples
    --------
    >>> import torch
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> with record_calls({"head": network[1]}, lambda _name, _inputs, out: out.shape) as heads:
    ...     _ = network(torch.zeros(3, 1, 2, 2))
    ...     heads.take_last()
    torch.Size([3, 2])
    """
    recording: Recording[T] = Recording()

    def hook_for(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            kept = keep(name, inputs, output)
            if kept is None:
                return None
            recording.calls.append(kept)
            return None if pass_on is None else pass_on(kept)

        return hook

    with ExitStack() as stack:
        stack.callback(recording.clear)
        for name, module in modules.items():
            if isinstance(module, torch.jit.ScriptModule):
                # It runs outside Python, and calls no hook.
                continue
            stack.enter_context(module.register_forward_hook(hook_for(name)))
        yield recording
