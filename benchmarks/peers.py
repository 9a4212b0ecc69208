"""What the audit is compared with: peers behind a DataLoader, scored with numpy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from audit.models import AuditedModel


class Pictures(torch.utils.data.Dataset[Tensor]):
    """Files as torchvision's users load them."""

    def __init__(self, paths: list[str], side: int) -> None:
        from torchvision.transforms import v2

        self.paths = paths
        self.transform = v2.Compose(
            [
                v2.Resize(side),
                v2.CenterCrop(side),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as opened:
            transformed: Tensor = self.transform(opened.convert("RGB"))
        return transformed


def captum(model: AuditedModel, paths: list[str], batch: int) -> Iterator[None]:
    """Captum's Saliency behind a DataLoader, scored with numpy."""
    from captum.attr import Saliency

    explain = Saliency(model)

    def maps(images: Tensor) -> NDArray[np.float32]:
        wanted = images.requires_grad_(True)
        found: NDArray[np.float32] = explain.attribute(wanted, target=0).amax(1).cpu().numpy()
        return found

    yield from _scored(model, paths, batch, maps)


def grad_cam(model: AuditedModel, paths: list[str], batch: int) -> Iterator[None]:
    """pytorch-grad-cam behind a DataLoader, scored with numpy; on the last stage, as it advises."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    # It differentiates down to a parameter, and torchvision's models come with theirs unfrozen.
    model.requires_grad_(True)
    explain = GradCAM(model=model, target_layers=[model.module.layer4[-1]])

    def maps(images: Tensor) -> NDArray[np.float32]:
        wanted = [ClassifierOutputTarget(0)] * len(images)
        found: NDArray[np.float32] = explain(images, targets=wanted)
        return found

    yield from _scored(model, paths, batch, maps)


def _scored(
    model: AuditedModel,
    paths: list[str],
    batch: int,
    maps: Callable[[Tensor], NDArray[np.float32]],
) -> Iterator[None]:
    """Mass and pointing game of maps as a careful user would write them."""
    side = model.geometry.size
    inside = np.zeros((side, side), bool)
    inside[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    loader = torch.utils.data.DataLoader(
        Pictures(paths, side), batch, num_workers=os.cpu_count() or 1
    )
    maps(torch.rand(batch, 3, side, side, device=model.device))
    yield
    rows = []
    for images in loader:
        there = images.to(model.device)
        with torch.no_grad():
            predictions = model(there).argmax(1).tolist()
        found = maps(there).astype(np.float64)
        for one, prediction in zip(found, predictions, strict=True):
            mass = one[inside].sum() / one.sum()
            hit = bool(inside[np.unravel_index(one.argmax(), one.shape)])
            rows.append((prediction, mass, hit))
