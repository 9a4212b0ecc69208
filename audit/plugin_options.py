"""What the functions that a manifest names may be asked for: names, defaults and meanings."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

GIVEN = {"class_names", "device", "digest", "folder", "outlines", "seeds", "size"}
"""Arguments that the audit gives to a function; they are no options of the manifest."""


def options_of(function: Callable[..., Any]) -> dict[str, tuple[Any, str]]:
    """List the options of a function.

    Parameters
    ----------
    function : callable
        A reader, foreground, loader or method, with a docstring in numpy's style.

    Returns
    -------
    dict
        Default (``inspect.Parameter.empty`` where it must be written) and meaning, by name.

    Examples
    --------
    >>> def scale(x, *, factor=2):
    ...     '''Multiply.
    ...
    ...     Parameters
    ...     ----------
    ...     factor : int
    ...         By which it is
    ...         multiplied.
    ...     '''
    >>> options_of(scale)
    {'factor': (2, 'By which it is multiplied.')}
    """
    parameters = inspect.signature(function).parameters
    while isinstance(function, functools.partial):
        function = function.func
    meanings = dict(_meanings(inspect.getdoc(function) or ""))
    return {
        name: (one.default, meanings.get(name, ""))
        for name, one in parameters.items()
        if one.kind is one.KEYWORD_ONLY and name not in GIVEN
    }


def _meanings(docstring: str) -> Iterator[tuple[str, str]]:
    _, _, after = docstring.partition("Parameters\n----------\n")
    section = re.split(r"\n\n?[A-Z][A-Za-z]+\n-+\n", after)[0]
    for names, text in re.findall(
        r"^(\S[^:\n]*?) *(?::[^\n]*)?\n((?:[ \n][^\n]*\n?)*)", section, re.M
    ):
        for name in names.split(","):
            yield name.strip(), " ".join(text.split())
