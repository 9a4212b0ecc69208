"""Calls of PyTorch's own functions seen from within, whichever module or none makes them.

Hooks see modules. What a network computes by functions, such as attention in one fused kernel or
``F.relu``, they do not; a mode of PyTorch does, in the thread that enters it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode

Handler = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Of the function, its arguments and its keywords; what it returns goes on in the network."""


class Intercepted(TorchFunctionMode):
    """While a ``with`` block lasts, some functions of PyTorch are answered by handlers.

    Parameters
    ----------
    handlers : mapping of callable to Handler
        By the function, such as ``F.relu`` or ``torch.Tensor.relu``. Within a handler nothing is
        intercepted.

    Examples
    --------
    >>> import torch
    >>> def doubled(function, args, keywords):
    ...     return 2 * function(*args, **keywords)
    >>> with Intercepted({torch.relu: doubled}):
    ...     print(torch.relu(torch.tensor([-1.0, 1.0])).tolist())
    [0.0, 2.0]
    """

    def __init__(self, handlers: Mapping[Callable[..., Any], Handler]) -> None:
        super().__init__()
        self._handlers = handlers

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer one call, or let it pass."""
        handler = self._handlers.get(func)
        if handler is None:
            return func(*args, **(kwargs or {}))
        return handler(func, args, kwargs or {})
