"""The source of a user's functions: what they compute changes with it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from audit.plugins import resolve


def sources_sha256(names: list[str], folder: Path) -> str:
    """Sha256 over the modules of a user's functions, and those beside the manifest that they use.

    Parameters
    ----------
    names : list of str
        ``"package.module:function"`` each; built-in names do not count.
    folder : Path
        Of the manifest.

    Returns
    -------
    str
        64 hexadecimal digits; "" where there is no such function.
    """
    functions = [
        resolve(name, {}, key="a function of the manifest", folder=folder)
        for name in names
        if ":" in name
    ]
    modules = [_module_of(function) for function in functions]
    theirs = [module for module in modules if module is not None and not _is_ours(module)]
    files = sorted(set(_files(theirs, folder.resolve())))
    if not files:
        return ""
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(name.encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(modules: list[ModuleType], folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of modules, and of those beside the manifest that their names come from."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module.__name__ in seen:
            continue
        seen.add(module.__name__)
        path = Path(getattr(module, "__file__", None) or "")
        if path.suffix != ".py" or not path.is_file():
            continue
        yield module.__name__, path
        for value in list(vars(module).values()):
            used = _module_of(value)
            if used is not None and _lies_in(used, folder):
                waiting.append(used)


def _module_of(value: Any) -> ModuleType | None:
    if isinstance(value, ModuleType):
        return value
    name = getattr(value, "__module__", None)
    return sys.modules.get(name) if isinstance(name, str) else None


def _is_ours(module: ModuleType) -> bool:
    """Whether it is the tool's own code, which has a version that counts by itself."""
    return module.__name__.partition(".")[0] in ("audit", "flows")


def _lies_in(module: ModuleType, folder: Path) -> bool:
    path = getattr(module, "__file__", None)
    if path is None or _is_ours(module) or "site-packages" in Path(path).parts:
        return False
    return Path(path).resolve().is_relative_to(folder)
