"""Saliency Audit: which classes of an image classifier are right for the wrong reason.

The datum's path: a **manifest** names the audit. **Readers** make samples; **batches** carry
image and foreground through the same geometry. A **method** turns images into maps; **scoring**
turns maps into rows; **interventions** change foreground or background and turn the model's
answers into rows beside them; **cues** are what in the background a class leans on; **verdicts**
turn rows into one finding per class, with its uncertainty; **CMVs** show what the class score
itself wants; **history** lays tonight beside last time; **repairs** refit what was found; the
**report** turns findings into pages. The **pipeline** runs these steps in order. Nothing in this
package knows that Prefect exists: the flows only open the doors.

In Python, :func:`run` audits, :func:`check` finds what is wrong before, :func:`explain` explains
one image, :func:`open_run` opens what a run left, :func:`compare` lays two runs side by side and
:func:`repair` refits what was found.

Examples
--------
>>> import audit
>>> audit.run({"name": "wolves", "dataset": {"root": "nowhere"}, "model": {"loader": "a:b"}})
Traceback (most recent call last):
    ...
audit.errors.DatasetError: ...
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.pipeline.check import CheckResult, check
    from audit.pipeline.compare import compare
    from audit.pipeline.explain import explain
    from audit.pipeline.explanations import Explanation
    from audit.pipeline.progress import Progress
    from audit.pipeline.repair import repair
    from audit.pipeline.run import run
    from audit.pipeline.runs import Run, open_run

__version__ = "0.1.0"
__all__ = [
    "CheckResult",
    "Explanation",
    "Progress",
    "Run",
    "__version__",
    "check",
    "compare",
    "explain",
    "open_run",
    "repair",
    "run",
]

# Imported when asked for: the children that decode images import this package, but no torch.
_MODULES = {
    "CheckResult": "check",
    "Explanation": "explanations",
    "Progress": "progress",
    "Run": "runs",
    "check": "check",
    "compare": "compare",
    "explain": "explain",
    "open_run": "runs",
    "repair": "repair",
    "run": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'audit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"audit.pipeline.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
