"""Loader of torchvision's classification networks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.audited import AuditedModel
from audit.models.checkpoints import Checkpoint, load_checkpoint
from audit.models.state_dicts import Fitted, fit_weights

TRANSFORMING = ("googlenet", "inception_v3")
"""Networks that torchvision builds with ``transform_input=True`` whenever it has weights."""
# torchvision's networks are imported where one is asked for: that brings torch's compiler with it,
# which takes as long as torch itself, and models from elsewhere need neither.


def classifiers() -> list[str]:
    """Names of torchvision's classification networks."""
    from torchvision import models

    found: list[str] = models.list_models(module=models)
    return found


def torchvision_model(
    device: torch.device,
    *,
    name: str,
    weights: str | Path | None = None,
    weights_entry: str | None = None,
    transform_input: bool | None = None,
) -> AuditedModel:
    """Load a torchvision classification model.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    name : str
        As ``torchvision.models.list_models`` writes it, e.g. ``resnet18``.
    weights : path or str
        A file of weights (.safetensors, .pt, .pth), whose last layer says how many classes there
        are; or the library's own name such as ``IMAGENET1K_V1``, which may be downloaded.
    weights_entry : str, optional
        Which of several weights in the file, such as ``model_ema``.
    transform_input : bool, optional
        For ``googlenet`` and ``inception_v3``: whether the network normalises its input once more.
        torchvision does whenever it builds them with weights, and so does this loader; no weights
        file says it. False for a network that was trained from scratch.

    Raises
    ------
    ModelError
        Unknown name, no weights, or weights that do not fit.
    """
    available = classifiers()
    if name not in available:
        raise ModelError(
            f"model.name: torchvision has no classification model {name!r}; "
            f"it has {', '.join(available[:6])}, ... ({len(available)} in all)"
        )
    if weights is None:
        raise ModelError(
            "model.weights: missing. Name a file (.safetensors, .pt) or the library's own weights "
            "(DEFAULT); without weights a random network would be audited."
        )
    if isinstance(weights, Path) or Path(weights).suffix in (".safetensors", ".pt", ".pth"):
        checkpoint = load_checkpoint(Path(weights))
        fitted = fit_torchvision(name, checkpoint, weights_entry, transform_input)
        model = AuditedModel(
            fitted.module,
            checkpoint.class_names,
            Geometry(224, 256),
            name=name,
            sha256=checkpoint.sha256,
        )
        model.remarks = tuple(_remarks(name, fitted.note, transform_input))
        return model.to(device)
    return _with_library_weights(name, weights).to(device)


def _remarks(name: str, note: str, transform_input: bool | None) -> Iterator[str]:
    if note:
        yield note
    if name in TRANSFORMING and transform_input is None:
        yield (
            f"model.transform_input: true, as torchvision builds {name} with weights; the file "
            "does not say. Was it trained from scratch? Then set it to false"
        )


def _with_library_weights(name: str, weights: str) -> AuditedModel:
    from torchvision import models

    try:
        chosen: Any = models.get_model_weights(name)[weights]
    except KeyError:
        known = [w.name for w in models.get_model_weights(name)]
        raise ModelError(
            f"model.weights: no such file, and {name} has no weights {weights!r}; "
            f"it has {', '.join(known)}. Write one of these, or a file relative to the manifest."
        ) from None
    try:
        module = models.get_model(name, weights=chosen)
    except Exception as error:
        raise ModelError(
            f"model.weights: {chosen} could not be had ({type(error).__name__}: {error}). "
            "Download the file and name it instead."
        ) from error
    preset = chosen.transforms()
    geometry = Geometry(
        size=preset.crop_size[0],
        resize=preset.resize_size[0],
        interpolation=preset.interpolation.value,
    )
    return AuditedModel(
        module,
        chosen.meta.get("categories"),
        geometry,
        mean=preset.mean,
        std=preset.std,
        name=f"{name} ({chosen})",
        sha256=str(chosen.url).rsplit("-", 1)[-1].split(".")[0],
    )


def build(name: str, classes: int, *, transform_input: bool = True) -> nn.Module:
    """Make a torchvision network with that many outputs and random weights.

    `googlenet` and `inception_v3` are made as torchvision makes them for weights: with an input
    that is normalised once more, and auxiliary heads, which :func:`fit_torchvision` takes away.
    """
    from torchvision import models

    extra: dict[str, bool] = {}
    if name in TRANSFORMING:
        extra = {"init_weights": False, "aux_logits": True, "transform_input": transform_input}
    module: nn.Module = models.get_model(name, weights=None, num_classes=classes, **extra)
    return module


def fit_torchvision(
    name: str, checkpoint: Checkpoint, chosen: str | None, transform_input: bool | None
) -> Fitted:
    """Load weights into a torchvision network, as torchvision builds it with weights.

    Parameters
    ----------
    name : str
        Of the network.
    checkpoint : Checkpoint
        What the file holds.
    chosen, transform_input
        See :func:`torchvision_model`.

    Raises
    ------
    ModelError
        They do not fit.
    """
    transforms = transform_input is not False
    fitted = fit_weights(
        lambda classes: build(name, classes, transform_input=transforms),
        checkpoint,
        name=name,
        chosen=chosen,
        optional=lambda key: key.startswith(("aux", "AuxLogits")),
        rename=_renamed,
    )
    # Auxiliary heads exist for training only, and many files leave them out.
    for attribute in ("aux1", "aux2", "AuxLogits"):
        if hasattr(fitted.module, attribute):
            setattr(fitted.module, attribute, None)
    if hasattr(fitted.module, "aux_logits"):
        setattr(fitted.module, "aux_logits", False)  # noqa: B010 - mypy knows only submodules
    return fitted


@dataclass(frozen=True)
class _Held:
    """Weights at hand, in the place of those that torchvision downloads."""

    state: dict[str, Tensor]

    def get_state_dict(self, *_: object, **__: object) -> dict[str, Tensor]:
        return self.state


def _renamed(state: dict[str, Tensor], skeleton: nn.Module) -> dict[str, Tensor]:
    """Let torchvision rename what it called otherwise before; its DenseNet does so by itself."""
    from torchvision.models import densenet

    if isinstance(skeleton, densenet.DenseNet):
        # It renames in place, then loads; into a skeleton without memory that has no effect.
        with suppress(RuntimeError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            densenet._load_state_dict(skeleton, _Held(state), progress=False)
    return state
