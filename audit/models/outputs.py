"""What a network returns, and the class scores in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from audit.errors import ModelError

Kind = Literal["logits", "probabilities", "log_probabilities"]

_NAMES = ("logits", "scores", "output", "out", "pred", "predictions")


def class_scores_in(returned: Any) -> tuple[Tensor, str]:
    """Find the class scores in what a network returns.

    Parameters
    ----------
    returned : Tensor, mapping, tuple, or an object with the attribute ``logits``
        Of a tuple or list the first tensor counts, as with auxiliary outputs; of a mapping the
        one called ``logits`` or the like, or its only tensor.

    Returns
    -------
    scores : Tensor (N, K)
        Trailing sides of 1 are gone.
    where : str
        Where they were found; "" for a plain tensor.

    Raises
    ------
    ModelError
        No class scores are recognised, or they are complex.

    Examples
    --------
    >>> scores, where = class_scores_in({"loss": None, "logits": torch.zeros(1, 3)})
    >>> scores.shape, where
    (torch.Size([1, 3]), "'logits' of the dict that the network returns")
    """
    scores, where = _find(returned)
    if scores is None:
        raise ModelError(
            "model: expected a tensor of logits (N, K) from the network, or a tuple, dict or "
            f"ModelOutput with one, found {type(returned).__name__}{where}. Wrap it: return only "
            "the logits."
        )
    if scores.is_complex():
        raise ModelError(
            f"model: expected real class scores, found {str(scores.dtype).removeprefix('torch.')}. "
            "Return their magnitude or their real part: which one is for the model to say."
        )
    if scores.ndim == 4 and scores.shape[2:] == (1, 1):
        scores = scores.flatten(1)
    return scores, where


def _find(returned: Any) -> tuple[Tensor | None, str]:
    if isinstance(returned, Tensor):
        return returned, ""
    kind = type(returned).__name__
    if isinstance(returned, Mapping):
        tensors = {str(k): v for k, v in returned.items() if isinstance(v, Tensor)}
        name = next((n for n in _NAMES if n in tensors), None)
        if name is None and len(tensors) == 1:
            (name,) = tensors
        if name is not None:
            return tensors[name], f"{name!r} of the {kind} that the network returns"
        return None, f" with {', '.join(tensors) or 'no tensor'}"
    logits = getattr(returned, "logits", None)
    if isinstance(logits, Tensor):
        return logits, f"'logits' of the {kind} that the network returns"
    if isinstance(returned, (tuple, list)):
        for position, value in enumerate(returned):
            if isinstance(value, Tensor) and value.ndim in (2, 4):
                return value, f"output {position} of the {kind} that the network returns"
    return None, ""


def _logarithm(scores: Tensor) -> Tensor:
    return scores.clamp_min(torch.finfo(torch.float32).tiny).log()


AS_LOGITS: Mapping[Kind, Callable[[Tensor], Tensor]] = {
    "logits": lambda scores: scores,
    # Softmax of logarithms gives the probabilities back, and margins are those of the logits.
    "probabilities": _logarithm,
    "log_probabilities": lambda scores: scores,
}
"""From what a network returns to class scores with the same softmax."""


def kind_complaint(scores: Tensor, extreme: Tensor) -> str:
    """Say whether a network returns probabilities rather than logits.

    Parameters
    ----------
    scores : float (N, K)
        Of photographs and of noise.
    extreme : float (M, K)
        Of inputs far out of range; logits grow with them.

    Returns
    -------
    str
        A sentence, or "".
    """
    both = torch.cat([scores, extreme]).double()
    remedy = (
        "Audited as logits, every effect would shrink until nothing can be found. Return the "
        "logits, or set model.outputs: {kind}, which takes the logarithm."
    )
    if bool((both >= 0).all()) and _sums_to_one(both):
        return (
            f"model: returns probabilities: the scores of each of {len(both)} images, noise among "
            f"them, are >= 0 and sum to 1 (a softmax inside the network). "
            + remedy.format(kind="probabilities")
        )
    if bool((both <= 0).all()) and _sums_to_one(both.exp()):
        return (
            f"model: returns log-probabilities: the exponentials of the scores of each of "
            f"{len(both)} images, noise among them, sum to 1 (a log_softmax inside the network), "
            "so that each score holds all other classes, too. Return the logits, or set "
            "model.outputs: log_probabilities to take them as they are."
        )
    if bool(((both >= 0) & (both <= 1)).all()) and float(both.std()) > 0:
        return (
            f"model: all scores of {len(both)} images, noise and inputs far out of range among "
            "them, lie in 0..1 (a sigmoid inside the network?). Softmax over such scores tells "
            "hardly anything apart. Return the logits: those before the sigmoid."
        )
    return ""


def _sums_to_one(values: Tensor) -> bool:
    return bool(((values.sum(1) - 1).abs() < 1e-3).all())


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without what moves a terminal, for a sentence."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    return "".join(character for character in plain if character.isprintable())[:200]
