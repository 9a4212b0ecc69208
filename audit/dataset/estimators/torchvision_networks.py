"""torchvision's detection and segmentation networks with a user's own file of weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audit.dataset.estimators.networks import (
    Estimator,
    Network,
    Provenance,
    check_side,
    file_sha256,
    weights_file,
)
from audit.errors import ManifestError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 520
BATCH = 4
"""Images at a time."""


def torchvision_estimator(
    name: str,
    *,
    weights: str,
    folder: Path,
    device: str,
    key: str = "foreground.estimator",
    classes: Sequence[int] = (),
    score: float = 0.5,
    side: int = SIDE,
    licence: str = "",
    trained_on: str = "",
) -> Estimator:
    """A network of ``torchvision.models.segmentation`` or ``.detection``.

    Parameters
    ----------
    name : str
        As torchvision lists it: ``deeplabv3_resnet50``, ``maskrcnn_resnet50_fpn``.
    weights : str
        A state dict, relative to the manifest.
    folder, device, key
        Given by the tool.
    classes : sequence of int
        Outputs that count as objects; none: all but the background, output 0.
    score : float
        Of a detection, from which it counts.
    side : int
        Images are squeezed into a square of so many pixels.
    licence, trained_on : str
        Printed in the report.

    Raises
    ------
    ManifestError
        No such network, or no such file.
    """
    from torchvision import models

    read = {
        "segmentation": (models.list_models(models.segmentation), _segmented),
        "detection": (models.list_models(models.detection), _detected),
    }
    for known, reading in read.values():
        # Detection without masks knows boxes only.
        if name in known and (reading is _segmented or "mask" in name):
            break
    else:
        able = [n for known, reading in read.values() for n in known if reading is _segmented]
        able += [n for n in read["detection"][0] if "mask" in n]
        raise ManifestError(f"{key}.torchvision: expected {' | '.join(able)}; found {name!r}")
    if not all(isinstance(one, int) and one >= 0 for one in classes):
        raise ManifestError(f"{key}.classes: expected output numbers, found {list(classes)!r}")
    path = weights_file(weights, folder, f"{key}.weights")
    return Estimator(
        name=name,
        sha256=file_sha256(path),
        side=check_side(side, key),
        open=functools.partial(_open, name, path, device, tuple(classes), score, reading),
        provenance=Provenance(licence, trained_on),
        settings=f"torchvision {name} {sorted(classes)} {score}",
    )


_Read = Callable[[Any, tuple[int, ...], float], Any]


def _open(
    name: str, path: Path, device: str, classes: tuple[int, ...], score: float, read: _Read
) -> Network:
    import torch

    module = _loaded(name, path).to(device).eval()

    def network(images: NDArray[np.uint8], names: Sequence[str]) -> NDArray[np.floating]:
        found = []
        for start in range(0, len(images), BATCH):
            part = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2)
            with torch.inference_mode():
                shown = part.to(device).float() / 255
                # Detectors bring their own normalisation.
                output = module(_normalised(shown) if read is _segmented else list(shown))
                found.append(read(output, classes, score).float().cpu().numpy())
        return np.concatenate(found)

    return network


def _loaded(name: str, path: Path) -> Any:
    import torch
    from safetensors.torch import load_file
    from torchvision import models

    try:
        if path.suffix == ".safetensors":
            state: Mapping[str, Tensor] = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        more = {"weights": None, "weights_backbone": None}
        if any(key.startswith("aux_classifier.") for key in state):
            more["aux_loss"] = True  # type: ignore[assignment]
        if (outputs := _outputs(state)) is not None:
            more["num_classes"] = outputs  # type: ignore[assignment]
        module = models.get_model(name, **more)
        module.load_state_dict(state)
    except Exception as error:
        text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(
            f"foreground.estimator: {path.name} does not fit into {name}: {text}. "
            "Name the network that the file was saved from."
        ) from error
    return module


def _outputs(state: Mapping[str, Tensor]) -> int | None:
    """How many outputs the last layer of a state dict has."""
    lasts = (
        "roi_heads.mask_predictor.mask_fcn_logits.bias",
        "classifier.4.bias",
        "classifier.low_classifier.bias",
    )
    return next((len(state[last]) for last in lasts if last in state), None)


def _normalised(images: Any) -> Any:
    from torchvision.transforms.functional import normalize

    return normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def _segmented(output: Any, classes: tuple[int, ...], score: float) -> Any:
    """The probability of all classes that count, together."""
    shares = output["out"].softmax(1)
    return shares[:, list(classes)].sum(1) if classes else 1 - shares[:, 0]


def _detected(output: Any, classes: tuple[int, ...], score: float) -> Any:
    """The union of the masks of all detections that count."""
    import torch

    found = []
    for one in output:
        kept = one["scores"] >= score
        if classes:
            kept &= torch.isin(one["labels"], torch.tensor(classes, device=kept.device))
        masks = one["masks"][:, 0]
        nothing = (
            torch.zeros_like(masks[:1].sum(0)) if len(masks) else masks.new_zeros(masks.shape[-2:])
        )
        found.append(masks[kept].amax(0) if bool(kept.any()) else nothing)
    return torch.stack(found)
