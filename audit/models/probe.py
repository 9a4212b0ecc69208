"""One batch through the model before the dataset, to see whether it answers as it must."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from audit.errors import ModelError
from audit.models.audited import AuditedModel
from audit.models.label_order import order_complaint
from audit.models.outputs import first_line, kind_complaint


def count_outputs(model: AuditedModel) -> int:
    """Ask the model for the scores of grey images, and count them.

    How the model wants to be asked is found on the way, and kept with it: whether it takes one
    image a call only, and where in what it returns the class scores lie.

    Raises
    ------
    ModelError
        It fails, or returns no ``(1, K)`` scores with K >= 2.
    """
    side = model.geometry.size
    grey = torch.full((2, 3, side, side), 0.5, device=model.device)
    try:
        with torch.no_grad():
            scores = _first_scores(model, grey)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"model: fails on an image of {len(model.mean)} x {side} x {side} "
            f"({type(error).__name__}: {first_line(error)}). {_channels_wanted(model)}"
        ) from error
    if scores.ndim != 2 or scores.shape[0] != 1 or scores.shape[1] < 2:
        raise ModelError(
            f"model: expected class scores (1, K) with K >= 2, found {tuple(scores.shape)}"
        )
    return int(scores.shape[1])


def _channels_wanted(model: AuditedModel) -> str:
    """What to do where the first convolution takes another number of channels."""
    channels = next(
        (m.in_channels for m in model.module.modules() if isinstance(m, nn.Conv2d)),
        len(model.mean),
    )
    if channels == 1:
        return (
            "Its first convolution takes one channel: write model.input.mean and model.input.std "
            "with one number each, such as [0.5], and it is given grey images."
        )
    if channels not in (3, len(model.mean)):
        return (
            f"Its first convolution takes {channels} channels, and photographs have three: wrap it "
            "in a loader of your own that makes the others of them."
        )
    return "Check model.input."


def _first_scores(model: AuditedModel, grey: Tensor) -> Tensor:
    """Class scores of one image, by a call that the network bears."""
    scores: Tensor = model(grey[:1])
    if model.scores_in:
        model.remarks += (f"model: {model.scores_in} is taken for the class scores",)
    if model.images_per_call is None:
        try:
            model(grey)
        except Exception:
            # A graph of one image: traced or exported with a batch of one, or that reshapes to it.
            model.images_per_call = 1
            model.remarks += ("model: takes one image a call, so it is asked image by image",)
    return scores


def probe(
    model: AuditedModel,
    images: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
    *,
    accept_accuracy: bool = False,
    needs_gradient: bool = True,
) -> float:
    """Try a model on a few labelled images.

    Parameters
    ----------
    model : AuditedModel
        As loaded.
    images : float (N, 3, H, W)
        In 0..1, on the model's device; N >= 1.
    labels : int64 (N,)
        Their labels.
    class_names : sequence of K str
        Of the outputs, as declared.
    accept_accuracy : bool
        Whether a model may be audited that looks as if it guessed, or as if its labels were
        shuffled.
    needs_gradient : bool
        False for a model that is known to have none.

    Returns
    -------
    float
        Accuracy on them, 0..1.

    Raises
    ------
    ModelError
        Scores or gradients that are not finite, no gradient at all, an answer that depends on
        the other images of the batch or differs from call to call, probabilities in the place of
        logits, labels that look shuffled, or an accuracy as of guessing.
    """
    try:
        scores = _checked_scores(model, images)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"model: fails on {len(images)} images ({type(error).__name__}: {first_line(error)}). "
            "It works on one: does its forward take batches of any size?"
        ) from error
    predictions = scores.argmax(1)
    if needs_gradient:
        # Of the prediction: a class that is nowhere near may well have no gradient.
        _check_gradient(model, images[:4], predictions[:4])
    if not accept_accuracy:
        _check_accuracy(labels, predictions, class_names)
    return float((predictions == labels).float().mean())


def _checked_scores(model: AuditedModel, images: Tensor) -> Tensor:
    """Class scores of images, asked for together, again, alone and beside noise."""
    noise = torch.rand((4, *images.shape[1:]), generator=torch.Generator().manual_seed(0))
    noise = noise.to(images)
    few = torch.cat([images[:4], noise])
    with torch.no_grad():
        scores = model(torch.cat([images, noise]))
        once, again = model(few), model(few)
        alone = model(images[:1])
        extreme = model(noise * 200 - 100)
    _check_finite(scores)
    _check_drift(model, once, again)
    _check_alone(model, scores, alone)
    if model.outputs == "logits" and (complaint := kind_complaint(scores, extreme)):
        raise ModelError(complaint)
    answers: Tensor = scores[: len(images)]
    return answers


def _check_finite(scores: Tensor) -> None:
    if not bool(scores.isfinite().all()):
        raise ModelError(
            "model: gives NaN or infinite class scores on the first images. Weights damaged, or "
            "normalisation wrong (model.input.mean, std)?"
        )


def _check_drift(model: AuditedModel, once: Tensor, again: Tensor) -> None:
    largest = float(once.abs().max())
    drift = float((once - again).abs().max())
    if drift > (1e-5 if once.device.type == "cpu" else 1e-3) * largest:
        raise ModelError(
            "model: the scores of the same images differ from call to call (by up to "
            f"{drift:.2g}, the largest is {largest:.2g}), so that no two answers can be compared. "
            f"Is dropout left on, noise drawn, or something counted?{_in_training(model)}"
        )


def _check_alone(model: AuditedModel, scores: Tensor, alone: Tensor) -> None:
    spread = float(scores.std()) or 1.0
    if float((scores[:1] - alone).abs().max()) > 1e-2 * spread:
        raise ModelError(
            "model: the scores of an image depend on the other images of its batch. "
            f"Is a layer left in training mode?{_in_training(model)}"
        )


def _in_training(model: AuditedModel) -> str:
    """Name the layers that work as in training although the model was put into eval mode."""
    names = [
        name
        for name, module in model.module.named_modules()
        if isinstance(module, (_BatchNorm, _DropoutNd))
        and (module.training or getattr(module, "running_mean", 0) is None)
    ]
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f" Such layers: {shown}." if names else ""


def _check_accuracy(labels: Tensor, predictions: Tensor, class_names: Sequence[str]) -> None:
    complaint = order_complaint(
        labels.cpu().numpy().astype(np.int64),
        predictions.cpu().numpy().astype(np.int64),
        class_names,
    )
    if complaint:
        raise ModelError(f"model.classes: {complaint} To audit it all the same: --accept-accuracy.")


def _check_gradient(model: AuditedModel, images: Tensor, classes: Tensor) -> None:
    try:
        with torch.enable_grad():
            pixels = images.clone().requires_grad_(True)
            score = model(pixels).gather(1, classes[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, pixels)
    except RuntimeError as error:
        raise ModelError(
            "model: no gradient reaches the pixels, so there is no saliency "
            f"({first_line(error)}). Is there a no_grad, argmax or .data in its forward?"
        ) from error
    if not bool(gradient.isfinite().all()):
        raise ModelError(
            "model: the gradient of a class score is NaN or infinite. Is there a division by zero, "
            "a root or a logarithm of 0 in its forward? saliency.method: occlusion needs no "
            "gradient."
        )
    if float(gradient.abs().max()) == 0.0:
        raise ModelError(
            "model: the gradient of a class score is zero everywhere. Does the model end in a "
            "saturated softmax or in rounding? Give logits."
        )
