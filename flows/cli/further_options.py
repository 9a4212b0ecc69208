"""Options that a manifest could name, as comments of one that ``init`` writes."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Collection
from typing import Any

import yaml

from audit.plugin_options import options_of

_COLUMN, _WIDTH = 34, 100


def further_options(function: Callable[..., Any], name: str, written: Collection[str]) -> str:
    """Say what else a reader, foreground or loader can be asked for, a comment a line.

    Parameters
    ----------
    function : callable
        Of :data:`audit.dataset.readers.READERS` and the like.
    name : str
        Under which it stands there.
    written : collection of str
        Options that the manifest has.

    Returns
    -------
    str
        Without the ``# `` each line is YAML, with the default of the option; "" where there is
        nothing further.
    """
    options = {key: option for key, option in options_of(function).items() if key not in written}
    if not options:
        return ""
    lines = [f"  # Further options of {name}:"]
    for key, (default, meaning) in options.items():
        shown = "" if default in (None, inspect.Parameter.empty) else _shown(default)
        # In a manifest nothing stands where Python has None.
        plain = meaning.replace("``", "").replace("None:", "left out:")
        first, *more = textwrap.wrap(plain, _WIDTH - _COLUMN - 3) or [""]
        lines.append(f"{f'  # {key}: {shown}':<{_COLUMN}} # {first}".rstrip())
        lines += [f"{'  #':<{_COLUMN}} # {text}" for text in more]
    return "".join(f"{line}\n" for line in lines)


def _shown(default: Any) -> str:
    """A default as YAML writes it on one line."""
    return yaml.safe_dump(default, width=10_000, default_flow_style=True).splitlines()[0]
