"""What class model visualizations need beside the model: rivals, images, a second model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from audit.cmv import Second
from audit.dataset.batches import iterate_batches
from audit.errors import ManifestError
from audit.manifest import fingerprint
from audit.models import load_model
from audit.models.labels import shared_outputs
from audit.models.probe import count_outputs
from audit.pipeline.session import Session
from audit.pixels import to_float
from audit.saliency import class_scores
from audit.sampling import spread_over

SMALLER = 128
"""Side of a picture that costs a third of one of 224, where the model reads it as well."""
TRIED = 16
"""Images by which that is found out."""
IMAGES = 256
"""From which colours and amplitudes are estimated, spread over the classes."""


@dataclass(frozen=True)
class Material:
    """Opened only where a recipe or objective asks for it.

    Parameters
    ----------
    session : Session
        Dataset and model.
    rivals : mapping of int to int
        Rather than which class, for the objective ``contrast``.
    given_side : int, optional
        Of the pictures, where somebody found it before.
    """

    session: Session
    rivals: Mapping[int, int] = field(default_factory=dict)
    given_side: int | None = None

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The images that are looked at for the recipe ``maco``."""
        session = self.session
        seed = session.manifest.run.seed
        return spread_over(session.table, IMAGES, seed, "limit", column="label")

    def images(self) -> Tensor:
        """Those images, float32 ``(N, 3, S, S)`` in 0..1, as large as the pictures shall be."""
        resized = [_resized(images, self.side) for images in self._loaded(self.rows)]
        if not resized:
            raise ManifestError(
                "cmv.recipes: maco needs images, and none of those tried is readable. Leave it out."
            )
        return torch.cat(resized).clamp(0, 1)

    def _loaded(self, rows: pd.DataFrame) -> Iterator[Tensor]:
        with self.session.loader as loader:
            for batch in iterate_batches(rows, loader, 32):
                if len(batch):
                    yield to_float(batch.images)

    @cached_property
    def side(self) -> int:
        """Side of the pictures: as asked; else that of the input, or the smaller that will do."""
        session = self.session
        own = session.model.geometry.size
        asked = self.given_side or session.manifest.cmv.size
        if asked is None and own > SMALLER and self._is_read_smaller():
            return SMALLER
        return asked or own

    def _is_read_smaller(self) -> bool:
        """Whether most images get the same answer at :data:`SMALLER` pixels as at full size."""
        session, device = self.session, self.session.model.device
        few = spread_over(session.table, TRIED, session.manifest.run.seed, "limit", column="label")
        same: list[bool] = []
        for images in self._loaded(few):
            there = images.to(device)
            try:
                smaller = class_scores(session.engine, _resized(there, SMALLER)).argmax(1)
            except Exception:
                # Many a transformer takes one size only; which error says so is its own affair.
                return False
            same += (class_scores(session.engine, there).argmax(1) == smaller).tolist()
        return 2 * sum(same) > len(same)

    @cached_property
    def second(self) -> Second | None:
        """The model of ``cmv.transfer``, with the classes that it shares with the audited one.

        Raises
        ------
        ManifestError
            It shares none.
        """
        session, section = self.session, self.session.manifest.cmv.transfer
        if section is None:
            return None
        model = load_model(section, session.manifest.folder, session.model.device)
        names, outputs = model.class_names, count_outputs(model)
        if names is None:
            if outputs != len(session.class_names):
                raise ManifestError(
                    f"cmv.transfer: expected {len(session.class_names)} outputs, as the model has, "
                    f"or class names in cmv.transfer.classes; found {outputs} outputs without names"
                )
            return Second(model, {k: k for k in range(outputs)})
        shared = shared_outputs(session.model.class_names or session.class_names, names)
        if not shared:
            raise ManifestError(
                "cmv.transfer: the second model shares no class name with the first; it knows "
                f"{', '.join(repr(name) for name in names[:5])}, ..."
            )
        return Second(model, shared)

    def key(self, label: int, recipe: str, objective: str, steps: int) -> str:
        """Equal where the same pictures would be made of a class, and measured alike."""
        session, section = self.session, self.session.manifest.cmv
        parts: list[object] = [_FORM, session.model.sha256, session.manifest.run.seed]
        parts += [label, recipe, objective, steps, section.early, self.side]
        # Names stand in the files.
        parts += [session.model.device.type, session.labels.get(label), session.class_names[label]]
        parts += [session.model.in_bfloat16, self.half and session.model.device.type == "cuda"]
        if recipe == "maco":
            listed = self.rows[["sample_id", "size", "mtime_ns"]].astype(str)
            parts.append(listed.to_numpy().tolist())
        if objective == "contrast":
            parts.append(self.rivals.get(label))
        if self.second is not None:
            parts += [self.second.model.sha256, self.second.labels.get(label)]
        return fingerprint(*parts)

    @property
    def half(self) -> bool:
        """Whether a GPU may climb in bfloat16."""
        return self.session.manifest.run.precision != "float32"


def _resized(images: Tensor, side: int) -> Tensor:
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


_FORM = 3
"""Of an entry; entries of another form are made again."""


def check_second(session: Session) -> None:
    """Find before the work begins what is wrong with the second model.

    Raises
    ------
    InputError
        It cannot be loaded, or shares no class with the first.
    """
    if session.manifest.cmv.classes != "none":
        _ = Material(session).second
