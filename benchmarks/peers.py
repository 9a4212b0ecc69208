"""What the audit is compared with: peers behind a DataLoader, scored with numpy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

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


CAPTUM = ("gradient", "gradient_x_input", "integrated_gradients", "gradcam")
"""Methods of ours that Captum has; its Grad-CAM has no form for tokens."""
GRAD_CAM = {"gradcam": "GradCAM", "gradcam_plus_plus": "GradCAMPlusPlus"}
"""Those that pytorch-grad-cam has, by its names."""
STEPS = 8
"""Of integrated gradients, there and here."""


def captum(
    model: AuditedModel, paths: list[str], batch: int, method: str = "gradient"
) -> Iterator[None]:
    """A method of Captum behind a DataLoader, scored with numpy."""
    from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, Saliency

    layer, _ = _last_layer(model.module)

    def attributed(images: Tensor, steps: int) -> Tensor:
        if method == "gradient":
            return Saliency(model).attribute(images, target=0).amax(1)
        if method == "gradient_x_input":
            return InputXGradient(model).attribute(images, target=0).sum(1).abs()
        if method == "integrated_gradients":
            explain = IntegratedGradients(model)
            return (
                explain.attribute(images, target=0, n_steps=steps, internal_batch_size=len(images))
                .sum(1)
                .abs()
            )
        found = LayerGradCam(model, layer).attribute(images, target=0)
        side = model.geometry.size
        return torch.nn.functional.interpolate(found.relu(), (side, side), mode="bilinear")[:, 0]

    def maps(images: Tensor, steps: int = STEPS) -> NDArray[np.float32]:
        wanted = images.requires_grad_(True)
        found: NDArray[np.float32] = attributed(wanted, steps).numpy(force=True)
        return found

    yield from _scored(model, paths, batch, maps)


def grad_cam(
    model: AuditedModel, paths: list[str], batch: int, method: str = "gradcam"
) -> Iterator[None]:
    """pytorch-grad-cam behind a DataLoader, scored with numpy; on the last stage, as it advises."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    # It differentiates down to a parameter, and torchvision's models come with theirs unfrozen.
    model.requires_grad_(True)
    layer, tokens = _last_layer(model.module)
    made = getattr(pytorch_grad_cam, GRAD_CAM[method])
    explain = made(model=model, target_layers=[layer], reshape_transform=tokens)

    def maps(images: Tensor, _: int = STEPS) -> NDArray[np.float32]:
        wanted = [ClassifierOutputTarget(0)] * len(images)
        found: NDArray[np.float32] = explain(images, targets=wanted)
        return found

    yield from _scored(model, paths, batch, maps)


def _last_layer(network: nn.Module) -> tuple[nn.Module, Callable[[Tensor], Tensor] | None]:
    """The layer that pytorch-grad-cam's manual names for a network, and how its tokens lie."""
    if hasattr(network, "layer4"):
        return network.layer4[-1], None
    if hasattr(network, "encoder"):

        def laid_out(tokens: Tensor) -> Tensor:
            side = round((tokens.shape[1] - 1) ** 0.5)
            return tokens[:, 1:].reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)

        return network.encoder.layers[-1].ln_1, laid_out
    return network.features[-1], None


def _scored(
    model: AuditedModel,
    paths: list[str],
    batch: int,
    maps: Callable[..., NDArray[np.float32]],
) -> Iterator[None]:
    """Mass and pointing game of maps as a careful user would write them."""
    side = model.geometry.size
    inside = np.zeros((side, side), bool)
    inside[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    loader = torch.utils.data.DataLoader(
        Pictures(paths, side), batch, num_workers=len(os.sched_getaffinity(0))
    )
    # One step warms it up as well as all.
    maps(torch.rand(batch, 3, side, side, device=model.device), 1)
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
