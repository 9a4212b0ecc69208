"""Turn a name of the manifest into a function: a built-in, or ``"package.module:function"``."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from audit.errors import InputError, ManifestError

_lock = threading.RLock()
_open_folders: dict[str, int] = {}
_imported_from: dict[str, str] = {}


@contextmanager
def importable(folder: Path | None) -> Iterator[None]:
    """Let modules that lie in a folder be imported while the block lasts, in any thread.

    Parameters
    ----------
    folder : Path or None
        Where a user's functions lie; None changes nothing.
    """
    path = str(folder)
    with _lock:
        ours = folder is not None and (path in _open_folders or path not in sys.path)
        if ours:
            if path not in _open_folders:
                sys.path.insert(0, path)
            _open_folders[path] = _open_folders.get(path, 0) + 1
    try:
        yield
    finally:
        if ours:
            with _lock:
                _open_folders[path] -= 1
                if not _open_folders[path]:
                    del _open_folders[path]
                    with suppress(ValueError):
                        sys.path.remove(path)


def resolve(
    name: str,
    table: Mapping[str, Callable[..., Any]],
    *,
    key: str,
    folder: Path | None = None,
) -> Callable[..., Any]:
    """Find the function that `name` stands for.

    Parameters
    ----------
    name : str
        A key of `table`, or ``"package.module:function"`` for a function of the user's.
    table : mapping
        The built-in functions by name.
    key : str
        Where in the manifest the name stands; every message begins with it.
    folder : Path, optional
        Of the manifest: modules that lie there can be imported, by the function when it is called,
        too.

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
        found: Any = _import(module_name, folder)
        for part in attribute.split("."):
            found = getattr(found, part)
    except InputError:
        raise
    except SystemExit as error:
        raise ManifestError(
            f"{key}: importing {module_name!r} ends the process (sys.exit({error.code!r})). A "
            'module that is a script, too, does its work below `if __name__ == "__main__":`.'
        ) from None
    except Exception as error:
        # A user's module can fail in any way while it is imported.
        raise ManifestError(
            f"{key}: cannot import {name!r} ({type(error).__name__}: {error}). "
            "The module must lie beside the manifest or on PYTHONPATH."
        ) from error
    if not callable(found):
        raise ManifestError(f"{key}: {name!r} is a {type(found).__name__}, expected a function")
    return _called_beside(found, folder) if folder else found


def _import(name: str, folder: Path | None) -> Any:
    top = name.partition(".")[0]
    with importable(folder), _lock:
        beside = PathFinder.find_spec(top, [str(folder)]) if folder else None
        origin = beside.origin if beside else None
        if _imported_from.get(top, origin) != origin:
            # Another audit of this process had a module of the same name beside its manifest.
            for module in [m for m in sys.modules if m == top or m.startswith(top + ".")]:
                del sys.modules[module]
            del _imported_from[top]
        if origin and top not in sys.modules:
            _imported_from[top] = origin
        return importlib.import_module(name)


def _called_beside(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """The function, which may import what lies in the folder whenever it is called."""

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        with importable(folder):
            return function(*arguments, **options)

    return called


def bind(
    function: Callable[..., Any],
    options: Mapping[str, object],
    *,
    key: str,
    given: Mapping[str, object] | None = None,
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
        An option that `function` does not know, or a value of another kind than its signature says.

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
    kinds = _kinds(function)
    fitted = {
        name: _fitted(value, kinds[name], f"{key}.{name}") if name in kinds else value
        for name, value in options.items()
    }
    return functools.partial(function, **{**offered, **fitted})


_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    type(None): "nothing",
}


def _kinds(function: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Which plain values each parameter takes, where its signature says so and says no more."""
    try:
        hints = get_type_hints(function)
    except Exception:
        # Names that exist for a type checker only.
        return {}
    plain: dict[str, tuple[Any, ...]] = {}
    for name, hint in hints.items():
        members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        kinds = tuple(get_origin(member) or member for member in members)
        if all(kind in _WORDS for kind in kinds):
            plain[name] = kinds
    return plain


def _fitted(value: Any, kinds: tuple[Any, ...], key: str) -> Any:
    """A value of the manifest as its parameter takes it.

    Raises
    ------
    ManifestError
        It is of another kind: text that is no number, or anything for true or false.
    """
    if type(value) in kinds or (type(value) is int and float in kinds):
        return value
    if isinstance(value, Path) and str in kinds:
        return value
    if isinstance(value, str):
        # A variable of the environment is text, whatever it stands for.
        if bool in kinds and value in ("true", "false"):
            return value == "true"
        for kind in (int, float):
            with suppress(ValueError):
                if kind in kinds:
                    return kind(value)
    expected = " or ".join(_WORDS[kind] for kind in kinds if kind is not type(None))
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:79]}…"
    raise ManifestError(f"{key}: expected {expected}, found {shown}")
