"""What is asked for beside the classes: which pictures, and how the work is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from audit.models import AuditedModel

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Second:
    """A second model, which is asked and not climbed.

    Parameters
    ----------
    model : AuditedModel
        On the device of the first.
    labels : dict of int to int
        The first model's outputs to the second's.
    """

    model: AuditedModel
    labels: dict[int, int]


@dataclass(frozen=True, eq=False)
class CmvRequest:
    """Which pictures are wanted of each class, and what is to be measured of them.

    Parameters
    ----------
    recipe : str
        ``robust``, ``maco``, ``simonyan`` or ``"package.module:function"``, a function without
        parameters that returns a :class:`audit.cmv.recipes.Recipe`.
    objective : str
        ``logit`` (class score), ``softmax`` (logarithm of the posterior), ``contrast`` (class
        score less that of the rival) or ``diversity`` (four different pictures of each class).
    seed : int
        Of the run; each class draws from its own stream.
    images : float (N, 3, S, S), optional
        Some of the audited dataset, in 0..1 and of the pictures' size, whose colours and
        amplitudes the recipe ``maco`` takes; None: those of natural images.
    rivals : mapping of int to int
        For ``contrast``: rather than which class. Where none is named, the mean of all others.
    second : Second, optional
        A model that is asked what it sees in the pictures.
    fewer : mapping of int to int
        Steps of classes that take fewer than the others.
    """

    recipe: str = "robust"
    objective: str = "logit"
    seed: int = 0
    images: Tensor | None = None
    rivals: Mapping[int, int] = field(default_factory=dict)
    second: Second | None = None
    fewer: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Execution:
    """How the work is done.

    Parameters
    ----------
    batch_size : int, optional
        Pictures at a time on a GPU; halved when memory runs out. A CPU takes 4 always.
    half : bool
        Whether a GPU may climb in bfloat16; what is reported is measured without it.
    on_progress : callable, optional
        ``(done, total)`` in units of one step of one class; a class that ends early jumps.
    """

    batch_size: int | None = None
    half: bool = True
    on_progress: Progress | None = None


ROBUST_LOGIT: Final = CmvRequest()
AT_ONCE: Final = Execution()
"""As many pictures at a time as the device takes, and nobody is told of progress."""
