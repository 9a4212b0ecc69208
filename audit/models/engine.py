"""A model as a session uses it: the network itself, its derived copies, and what it bears."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from audit.geometry import Geometry
from audit.models.audited import AuditedModel
from audit.models.derived import compiled, folded
from audit.models.layout import MICROBATCH, Trials
from audit.models.memory import Capacity
from audit.models.rounding import ROUNDING, Rounding, tf32

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Engine(nn.Module):
    """A model with all that is found out about it while it is used, built once for a session.

    Called with images ``(N, 3, H, W)`` in 0..1 it returns the class scores ``(N, K)`` of the model
    itself: hooks on its layers are called, and derivatives flow. Passes that need neither go
    through :meth:`for_scores`. What costs a trial (folding, compiling, the layout of images in a
    call) is found out when it is first asked for, and kept.

    Parameters
    ----------
    model : AuditedModel
        It stays as it is.
    compiles : bool
        Whether it may be compiled for passes without derivatives.
    rounding : Rounding
        What a GPU may round.

    Attributes
    ----------
    trials : Trials
        What `model` bears: images side by side, images in the same call.
    capacity : Capacity
        How many images fit into memory.
    """

    def __init__(
        self,
        model: AuditedModel,
        *,
        compiles: bool = False,
        rounding: Rounding = ROUNDING["auto"],
    ) -> None:
        super().__init__()
        self.model = model
        # Not self.train(...): that would reach into the model and change its layers.
        self.training = model.training
        self.compiles, self.rounding = compiles, rounding
        self.capacity = Capacity()
        self.trials = Trials(model, self.capacity)
        # Not as parts of this module: they would be found by whoever looks for layers.
        self._folded: _OfWeights[tuple[AuditedModel, Trials]] = _OfWeights()
        self._compiled: _OfWeights[AuditedModel] = _OfWeights()

    def forward(self, images: Tensor) -> Tensor:
        """Class scores ``(N, K)`` float32 of images ``(N, 3, H, W)`` in 0..1."""
        # A pass that is differentiated later is in the hands of whoever does that: see `explain`.
        with tf32(self.rounding.maps, images.device):
            scores: Tensor = self.model(images)
        return scores

    @property
    def module(self) -> nn.Module:
        """The network as its author knows it: plug-ins name its layers."""
        return self.model.module

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.device

    @property
    def geometry(self) -> Geometry:
        """The way from a photograph to the model's input."""
        return self.model.geometry

    def folded(self, image: Tensor) -> AuditedModel:
        """A copy of the model with BatchNorm folded, or the model where there can be none.

        It can be differentiated, its layers are not those of the model, and it follows when the
        model is given other weights. While any layer of the model holds a forward hook it is the
        model itself: a copy would never call the hook, and one made now would keep it for ever.

        Parameters
        ----------
        image : float (1, 3, H, W)
            On the model's device, of the form that is asked about.
        """
        return self._folded_with_trials(image)[0]

    def for_scores(self, image: Tensor) -> tuple[AuditedModel, Trials]:
        """The cheapest model that gives these class scores, for ``no_grad`` only.

        Folded, and compiled where that was asked for, `image` has the size of the model's input,
        and a trial showed that it changes nothing but rounding.

        Parameters
        ----------
        image : float (1, 3, H, W)
            On the model's device, of the form that is asked about.

        Returns
        -------
        model : AuditedModel
            To be called.
        trials : Trials
            What it bears.
        """
        model, trials = self._folded_with_trials(image)
        # Each size would be compiled for itself.
        fits = image.shape[-2:] == (self.geometry.size,) * 2
        if not self.compiles or not fits or _is_hooked(model):
            return model, trials
        return self._compiled.of(model, lambda: _compiled(model, trials, image)), trials

    def _folded_with_trials(self, image: Tensor) -> tuple[AuditedModel, Trials]:
        if _is_hooked(self.model):
            return self.model, self.trials
        return self._folded.of(self.model, lambda: self._fold(image))

    def _fold(self, image: Tensor) -> tuple[AuditedModel, Trials]:
        derived = None if self.trials.keeps_state(image) else folded(self.model, image)
        return (
            (self.model, self.trials)
            if derived is None
            else (derived, Trials(derived, self.capacity))
        )


def _is_hooked(model: nn.Module) -> bool:
    return any(module._forward_hooks for module in model.modules())


def _compiled(model: AuditedModel, trials: Trials, image: Tensor) -> AuditedModel:
    if trials.keeps_state(image):
        _log.warning("run.compile: the model keeps something of an image, so it is not compiled")
        return model
    count, layout = MICROBATCH, None
    if image.device.type == "cpu":
        layout = trials.layout(image, count)
        count = 1 if layout is None else count
    return compiled(model, image, count, layout or torch.contiguous_format) or model


class _OfWeights(Generic[T]):
    """Something made of a model, kept until the model is given other weights."""

    def __init__(self) -> None:
        self._kept: tuple[nn.Module, tuple[tuple[int, int], ...], T] | None = None

    def of(self, model: nn.Module, make: Callable[[], T]) -> T:
        """What was made of these weights, or what `make` makes of them now."""
        written = tuple(_written(model))
        if self._kept is None or self._kept[0] is not model or self._kept[1] != written:
            self._kept = (model, written, make())
        return self._kept[2]


def _written(model: nn.Module) -> Iterator[tuple[int, int]]:
    """Which tensors the network is made of, and how often each was written."""
    for tensors in (model.parameters(), model.buffers()):
        for tensor in tensors:
            yield tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version
