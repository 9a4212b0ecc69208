"""The one form in which every model is audited: pixels in 0..1 go in, class scores come out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.outputs import AS_LOGITS, Kind, class_scores_in
from audit.plugins import importable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.449,), (0.226,)
"""The means of those, for networks of grey images."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; without them it is many times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return any(value for key, value in torch.cpu.get_capabilities().items() if "bf16" in key)


_LUMA = (0.299, 0.587, 0.114)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = (weight * images[:, k : k + 1] for k, weight in enumerate(_LUMA))
    return red + green + blue


class AuditedModel(nn.Module):
    """A classifier with everything the audit must know of it.

    Called with images ``(N, 3, H, W)`` float in 0..1 it returns class scores (logits before
    softmax) ``(N, K)`` float32. It normalises by itself, so that saliency, interventions and
    CMVs all work on plain pixels.

    Parameters
    ----------
    module : nn.Module
        Takes normalised images ``(N, 3, H, W)``, returns logits ``(N, K)``, or a tuple, mapping or
        ``ModelOutput`` that holds them. It is put into ``eval`` mode and its parameters are frozen:
        gradients are wanted for pixels only.
    class_names : sequence of str or None
        K names in the order of the outputs; None when nobody wrote them down.
    geometry : Geometry
        The way from a photograph to the input.
    mean, std : sequence of 3 float, or of 1
        Normalisation, in units of 0..1 pixels. With one number each the network is given grey
        images ``(N, 1, H, W)``, of the luma of ITU-R BT.601 as Pillow has it.
    name : str
        What the report calls the model.
    sha256 : str
        Hash of the weights file, or of the weights themselves.
    target_layer : str or None
        Dotted name of the layer for class activation maps; None: found by itself.

    Attributes
    ----------
    in_bfloat16 : bool
        Whether the network works in bfloat16 (``torch.autocast``); False at first. Scores and
        derivatives are float32 all the same, with the rounding of bfloat16: three digits.
    plugin_folder : Path or None
        Where the code of a user's network lies, which may import more of it when it is called.
    remarks : tuple of str
        Sentences on what a loader decided, for ``check`` and the log.
    trusted : str
        The file whose loading could run code, and what it is; "" where there was none.
    images_per_call : int or None
        How many images the network takes, where it takes one number only, as a traced or exported
        graph may; None: any.
    outputs : str
        What the network returns; class scores are made of it.
    scores_in : str
        Where in what the network returned last its class scores lay; "" for a plain tensor.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        module: nn.Module,
        class_names: Sequence[str] | None,
        geometry: Geometry,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        name: str = "model",
        sha256: str = "",
        target_layer: str | None = None,
    ) -> None:
        super().__init__()
        if len(mean) not in (1, 3) or len(std) != len(mean) or min(std) <= 0:
            raise ModelError(
                "model.input: expected three means and three positive stds, or one of each for a "
                f"network of grey images, found {mean}, {std}"
            )
        self.module = module
        self.class_names = None if class_names is None else tuple(map(_printable, class_names))
        self.geometry = geometry
        self.name = name
        self.sha256 = sha256
        self.target_layer = target_layer
        self.in_bfloat16 = False
        self.plugin_folder: Path | None = None
        self.remarks: tuple[str, ...] = ()
        self.images_per_call: int | None = None
        self.trusted = ""
        self.outputs: Kind = "logits"
        self.scores_in = ""
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))
        try:
            self.eval()
        except NotImplementedError:
            # An exported graph has no modes; it is what it was when it was exported.
            self.training = False
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores ``(N, K)`` float32 of images ``(N, 3, H, W)`` in 0..1."""
        seen = images if len(self.mean) == 3 else _grey(images)
        normalised = (seen - self.mean) / self.std
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16)
        with importable(self.plugin_folder), autocast:
            if self.images_per_call is None:
                scores = self._ask(normalised)
            else:
                parts = torch.split(normalised, self.images_per_call)
                scores = torch.cat([self._ask_filled_up(part) for part in parts])
        return AS_LOGITS[self.outputs](scores.float())

    def _ask(self, normalised: Tensor) -> Tensor:
        try:
            scores, where = class_scores_in(self.module(normalised))
        except SystemExit as error:
            raise ModelError(
                f"model: the network ends the process (sys.exit({error.code!r})) when it is asked. "
                "Let its forward return class scores, or raise an error."
            ) from None
        if where != self.scores_in:
            self.scores_in = where
        return scores

    def _ask_filled_up(self, part: Tensor) -> Tensor:
        lacking = (self.images_per_call or 0) - len(part)
        if lacking > 0:
            part = torch.cat([part, part[-1:].expand(lacking, -1, -1, -1)])
            return self._ask(part)[:-lacking]
        return self._ask(part)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.mean.device


def _printable(name: str) -> str:
    """A class name without halves of characters, which JSON can hold and no file of a run."""
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")
