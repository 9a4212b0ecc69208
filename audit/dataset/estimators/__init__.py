"""Networks that draw outlines of objects: which one is meant, whence it comes, what it says.

Opened in the process that drives a run, never in a decoding child.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from audit.dataset.estimators.functions import function_estimator
from audit.dataset.estimators.networks import Estimator, Network, Provenance
from audit.dataset.estimators.onnx_files import onnx_estimator
from audit.dataset.estimators.sessions import named_estimator
from audit.dataset.estimators.torchvision_networks import torchvision_estimator
from audit.errors import ManifestError
from audit.plugins import bind

__all__ = ["ESTIMATORS", "Estimator", "Network", "Provenance", "find_estimator"]

ESTIMATORS: Mapping[str, Callable[..., Estimator]] = {
    "name": named_estimator,
    "onnx": onnx_estimator,
    "function": function_estimator,
    "torchvision": torchvision_estimator,
}
"""By the key that names the network; each takes that name, `folder` and its own options."""


def find_estimator(
    declared: object, folder: Path, device: str, *, key: str = "foreground.estimator"
) -> Estimator:
    """Find the network that a manifest names; it is opened when it is first asked.

    Parameters
    ----------
    declared : str or mapping
        As written: a name, a file, ``"package.module:function"``, or a mapping.
    folder : Path
        Of the manifest.
    device : str
        ``cpu`` or ``cuda``: where it works, if it can.
    key : str
        Where it stands in the manifest.

    Raises
    ------
    ManifestError
        Nothing is meant by it, or the network is not there; the message says what to install.
    """
    kind, named, options = _declared(declared, key)
    find = functools.partial(ESTIMATORS[kind], named)
    given = {"folder": folder, "device": device, "key": key}
    for internal in given.keys() & options.keys():
        raise ManifestError(f"{key}.{internal}: unknown option; leave it out")
    found: Estimator = bind(find, options, key=key, given=given)()
    return found


def _declared(declared: object, key: str) -> tuple[str, str, Mapping[str, object]]:
    if isinstance(declared, str) and declared:
        if declared.lower().endswith(".onnx"):
            return "onnx", declared, {}
        return "function" if ":" in declared else "name", declared, {}
    if isinstance(declared, Mapping):
        kinds = [kind for kind in ESTIMATORS if kind in declared]
        if len(kinds) == 1 and isinstance(declared[kinds[0]], str):
            options = {str(k): v for k, v in declared.items() if k != kinds[0]}
            return kinds[0], declared[kinds[0]], options
    raise ManifestError(
        f'{key}: expected a name such as u2netp, a file.onnx, "package.module:function", or a '
        f"mapping with one of the keys {', '.join(ESTIMATORS)}; found {declared!r}"
    )
