"""Everything that can go wrong, drawn as a tree.

::

    AuditError
    ├── InputError          found before work began: the command ends with exit code 2
    │   ├── ManifestError   the manifest says something that cannot be
    │   ├── DatasetError    the dataset cannot be read as declared
    │   ├── ModelError      the model cannot be loaded, or does not answer as a classifier should
    │   │   ├── NoGridError         no layer of it puts out a grid of places
    │   │   ├── NoAttentionError    no layer of it attends from every place to every other
    │   │   └── NotRectifiedError   its activations are not ReLU alone
    │   ├── RunFolderError  the run folder is taken, foreign, or cannot be written
    │   └── RepairError     there is nothing that could be refitted, or too little to do it with
    ├── SampleError         one sample cannot be used: a row in problems.csv, never the end of a run
    └── ReportError         the report could not be rendered; the scores are kept

A message says where, what was expected, what was found and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from audit.secrets import with_names

_SHOWN = 8


class AuditError(Exception):
    """Any failure that this package names; no value of the environment is left in its message."""

    def __init__(self, message: str = "") -> None:
        super().__init__(with_names(message))


class InputError(AuditError):
    """Something given to the audit is wrong; nothing has been computed yet."""


class ManifestError(InputError):
    """The manifest holds a key or value that cannot be."""


class DatasetError(InputError):
    """The dataset cannot be read as the manifest declares it."""


class ModelError(InputError):
    """The model cannot be loaded, or does not answer as a classifier should."""


class NoGridError(ModelError):
    """No layer of the network puts out maps, or tokens that lie in a grid."""


class NoAttentionError(ModelError):
    """No layer of the network attends from all tokens of a grid to all of them."""


class NotRectifiedError(ModelError):
    """The network has other activations than ReLU, or none that can be seen."""


class RunFolderError(InputError):
    """The run folder is taken by another audit, is foreign, or cannot be written."""


class RepairError(InputError):
    """The model has no last linear layer, or there are too few images to refit and to prove."""


class ReportError(AuditError):
    """The report could not be rendered."""


class SampleError(AuditError):
    """One sample cannot be used.

    Parameters
    ----------
    reason : str
        Code for machines, such as ``DATA_CORRUPT``; the rows of ``problems.csv`` carry it.
    detail : str
        A sentence for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def nearest(name: str, known: Iterable[str]) -> str:
    """Point to the known names that are like one that is not: a sentence for the end of a message.

    Examples
    --------
    >>> nearest("wolve", ["wolf", "husky"])
    " Did you mean 'wolf'?"
    >>> nearest("cat", ["wolf", "husky"])
    ' Expected one of: wolf, husky.'
    """
    known = list(known)
    if close := difflib.get_close_matches(name, known, n=1):
        return f" Did you mean {close[0]!r}?"
    more = f", ... ({len(known)} in all)" if len(known) > _SHOWN else ""
    return f" Expected one of: {', '.join(known[:_SHOWN])}{more}."
