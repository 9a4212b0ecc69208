"""Turn a name of the manifest into a function: a built-in, or ``"package.module:function"``."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from audit.errors import InputError, ManifestError


def resolve(name: str, table: Mapping[str, Callable[..., Any]], *, key: str) -> Callable[..., Any]:
    """Find the function that `name` stands for.

    Parameters
    ----------
    name : str
        A key of `table`, or ``"package.module:function"`` for a function of the user's.
    table : mapping
        The built-in functions by name.
    key : str
        Where in the manifest the name stands; every message begins with it.

    Raises
    ------
    ManifestError
        Neither a built-in nor importable, or not callable.

    Examples
    --------
    >>> resolve("absolute", {"absolute": abs}, key="x")(-3)
    3
    >>> resolve("math:floor", {}, key="x")(2.5)
    2
    """
    if name in table:
        return table[name]
    if ":" not in name:
        close = difflib.get_close_matches(name, table, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        expected = " | ".join(sorted(table))
        raise ManifestError(
            f'{key}: expected {expected} or "package.module:function", found {name!r}.{hint}'
        )
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except InputError:
        raise
    except Exception as error:
        # A user's module can fail in any way while it is imported.
        raise ManifestError(
            f"{key}: cannot import {name!r} ({type(error).__name__}: {error}). "
            "The module must lie beside the manifest or on PYTHONPATH."
        ) from error
    if not callable(found):
        raise ManifestError(f"{key}: {name!r} is a {type(found).__name__}, expected a function")
    return found  # type: ignore[no-any-return]


def bind(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    *,
    key: str,
    given: Mapping[str, Any] | None = None,
) -> functools.partial[Any]:
    """Fix the options of the manifest on `function`, now rather than at the first call.

    Parameters
    ----------
    function : callable
        What :func:`resolve` found.
    options : mapping
        Options that the user wrote; each must be a parameter of `function`.
    key : str
        Where in the manifest the options stand.
    given : mapping, optional
        What the tool offers by name; passed only if `function` has such a parameter.

    Raises
    ------
    ManifestError
        An option that `function` does not know.

    Examples
    --------
    >>> def scale(x, *, factor=2):
    ...     return x * factor
    >>> bind(scale, {"factor": 3}, key="method.options")(5)
    15
    >>> bind(scale, {"factr": 3}, key="method.options")
    Traceback (most recent call last):
    ...
    audit.errors.ManifestError: method.options.factr: unknown option. Expected one of: factor
    """
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {
        n for n, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    }
    offered = {k: v for k, v in (given or {}).items() if k in named}
    for option in options:
        if option not in named and not open_ended:
            keyword_only = [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
            expected = ", ".join(keyword_only) or "no options"
            raise ManifestError(f"{key}.{option}: unknown option. Expected one of: {expected}")
    return functools.partial(function, **{**offered, **options})
