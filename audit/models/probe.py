"""One batch through the model before the dataset, to see whether it answers as it must."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from audit.errors import ModelError
from audit.models.audited import AuditedModel
from audit.models.labels import label_map_suspect


def count_outputs(model: AuditedModel) -> int:
    """Ask the model for the scores of one grey image, and count them.

    Raises
    ------
    ModelError
        It fails, or returns no ``(1, K)`` scores with K >= 2.
    """
    side = model.geometry.size
    grey = torch.full((1, 3, side, side), 0.5, device=model.device)
    try:
        with torch.no_grad():
            scores = model(grey)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"model: fails on an image of 3 x {side} x {side} "
            f"({type(error).__name__}: {_first_line(error)}). Check model.input."
        ) from error
    if scores.ndim != 2 or scores.shape[0] != 1 or scores.shape[1] < 2:
        raise ModelError(
            f"model: expected class scores (1, K) with K >= 2, found {tuple(scores.shape)}"
        )
    return int(scores.shape[1])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def probe(model: AuditedModel, images: Tensor, labels: Tensor) -> float:
    """Try a model on a few labelled images.

    Parameters
    ----------
    model : AuditedModel
        As loaded.
    images : float (N, 3, H, W)
        In 0..1, on the model's device; N >= 1.
    labels : int64 (N,)
        Their labels.

    Returns
    -------
    float
        Accuracy on them, 0..1.

    Raises
    ------
    ModelError
        Scores or gradients that are not finite, no gradient at all, an answer that depends on
        the other images of the batch, or labels that look shuffled.
    """
    with torch.no_grad():
        scores = model(images)
        alone = model(images[:1])
    if not bool(scores.isfinite().all()):
        raise ModelError(
            "model: gives NaN or infinite class scores on the first images. Weights damaged, or "
            "normalisation wrong (model.input.mean, std)?"
        )
    spread = float(scores.std()) or 1.0
    if float((scores[:1] - alone).abs().max()) > 1e-2 * spread:
        raise ModelError(
            "model: the scores of an image depend on the other images of its batch. "
            "Is a layer left in training mode?"
        )
    predictions = scores.argmax(1)
    # Of the prediction: a class that is nowhere near may well have no gradient.
    _check_gradient(model, images[:4], predictions[:4])
    complaint = label_map_suspect(
        labels.cpu().numpy().astype(np.int64), predictions.cpu().numpy().astype(np.int64)
    )
    if complaint:
        raise ModelError(f"model.classes: {complaint}")
    return float((predictions == labels).float().mean())


def _check_gradient(model: AuditedModel, images: Tensor, classes: Tensor) -> None:
    try:
        with torch.enable_grad():
            pixels = images.clone().requires_grad_(True)
            score = model(pixels).gather(1, classes[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, pixels)
    except RuntimeError as error:
        raise ModelError(
            "model: no gradient reaches the pixels, so there is no saliency "
            f"({_first_line(error)}). Is there a no_grad, argmax or .data in its forward?"
        ) from error
    if not bool(gradient.isfinite().all()):
        raise ModelError("model: the gradient of a class score is NaN or infinite")
    if float(gradient.abs().max()) == 0.0:
        raise ModelError(
            "model: the gradient of a class score is zero everywhere. Does the model end in a "
            "saturated softmax or in rounding? Give logits."
        )
