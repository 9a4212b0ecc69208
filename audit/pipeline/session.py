"""What one audit needs, opened once a run and passed on: manifest, samples, model, run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from audit.dataset.contents import NOTHING_READ, Hashed
from audit.dataset.estimators import Estimator
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.samples import Skipped
from audit.errors import ManifestError, nearest
from audit.manifest import Manifest
from audit.measuring.parts import Part
from audit.measuring.plan import Counted, MeasurementPlan, Workbench, uncounted
from audit.measuring.shards import shard_count
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.models.layout import MICROBATCH
from audit.pipeline.loaders import new_loader, plan_of
from audit.run_folder import RunFolder
from audit.saliency.choosing import MethodChoice
from audit.sampling import at_most


@dataclass(frozen=True)
class AuditRequest:
    """What was asked for, in names and paths only.

    Parameters
    ----------
    manifest : str
        Path of the manifest; empty for one that is in no file.
    out : str
        The run folder; empty where it is yet to be chosen.
    overrides : tuple of str
        ``key.path=value`` each.
    limit : int or None
        Audit only so many images, spread over the classes.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
    accept_accuracy : bool
        Whether a model is audited that looks as if it guessed, or as if its labels were shuffled.
    """

    manifest: str
    out: str = ""
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    device: str = "auto"
    accept_accuracy: bool = False

    @property
    def run(self) -> RunFolder:
        """The run folder."""
        return RunFolder(Path(self.out))


@dataclass(frozen=True)
class Session:
    """Everything opened and checked; nothing has been computed yet."""

    request: AuditRequest
    manifest: Manifest
    table: pd.DataFrame
    skipped: tuple[Skipped, ...]
    remarks: tuple[str, ...]
    engine: Engine
    saliency: MethodChoice
    class_names: tuple[str, ...]
    labels: dict[int, str]
    source: str
    key: str
    loader: Loader
    """Entered for the length of a run, so that all steps share its decoding children."""
    estimator: Estimator | None = None
    hashed: Hashed = NOTHING_READ
    """What it took to learn what the files hold."""

    @property
    def run(self) -> RunFolder:
        """The run folder."""
        return self.request.run

    def writing_into(self, folder: Path) -> Session:
        """The same session, with another run folder."""
        request = dataclasses.replace(self.request, out=str(folder))
        loader = self.loader if self.estimator is None else self.loader_of(self.plan(str(folder)))
        return dataclasses.replace(self, request=request, loader=loader)

    def plan(self, out: str | None = None) -> LoadingPlan:
        """How its samples are loaded, for a run folder that may be another than its own."""
        out = self.request.out if out is None else out
        return plan_of(self.manifest, self.model, self.source, self.estimator, out)

    def loader_of(self, plan: LoadingPlan) -> Loader:
        """Further decoding children, which load by another plan; enter it to start them.

        Of one plan there is one loader, whose children all share who enter it.
        """
        for known, loader in self._loaders:
            if known == plan:
                return loader
        self._loaders.append((plan, new_loader(self.manifest, self.model, plan)))
        return self._loaders[-1][1]

    @cached_property
    def _loaders(self) -> list[tuple[LoadingPlan, Loader]]:
        return []

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return shard_count(len(self.table), self.manifest.run.shard_size)

    def shard(self, number: int) -> pd.DataFrame:
        """The rows of one shard."""
        size = self.manifest.run.shard_size
        return self.table.iloc[number * size : (number + 1) * size]

    @property
    def shard_sizes(self) -> dict[int, int]:
        """How many rows each shard has."""
        size, rows = self.manifest.run.shard_size, len(self.table)
        return {number: min(size, rows - number * size) for number in range(self.shards)}

    def part(self, number: int) -> Part:
        """The file with the scores of one shard."""
        first = number * self.manifest.run.shard_size
        return Part(self.run.part(number), self.key, number, first, self.shard(number))

    @property
    def model(self) -> AuditedModel:
        """The model that is audited."""
        return self.engine.model

    @property
    def has_foregrounds(self) -> bool:
        """Whether the audit was given foregrounds."""
        return self.source != "none"

    def output(self, name: str) -> int:
        """The model's output of a class, by the dataset's name of it or by the model's.

        Raises
        ------
        ManifestError
            The model has no such class.
        """
        for names in (self.class_names, self.model.class_names or ()):
            if name in names:
                return names.index(name)
        raise ManifestError(f"{name!r} is no class of the model.{nearest(name, self.class_names)}")

    def measurement(self) -> MeasurementPlan:
        """What is done to every image."""
        return MeasurementPlan(
            method=self.saliency.method,
            target=self.manifest.saliency.target,
            donors=self.manifest.interventions.donors,
            fill=self.manifest.interventions.fill,
            extra=self.manifest.interventions.extra,
            boundary_tolerance=self.manifest.foreground.boundary_tolerance,
            seed=self.manifest.run.seed,
            swapped=self.swapped,
        )

    @cached_property
    def swapped(self) -> frozenset[int] | None:
        """Rows of the table whose images meet donors; None: all."""
        most = self.manifest.swapped_images
        if most is None or self.table["label"].value_counts().max() <= most:
            return None
        seed = self.manifest.run.seed
        return frozenset(at_most(self.table, most, seed, "swaps", of_each="label").index)

    @contextmanager
    def workbench(self, counted: Counted = uncounted) -> Iterator[Workbench]:
        """What a step of measuring works with, and who is told how far it is."""
        with self.loader as loader:
            parts = (self.table, loader, self.engine, self.measurement(), self.batch_size())
            yield Workbench(*parts, counted)

    def batch_size(self) -> int:
        """Images at a time; fewer after memory did not suffice."""
        asked = self.manifest.run.batch_size
        side = self.model.geometry.size
        if asked != "auto":
            size = asked
        elif self.model.device.type == "cpu":
            size = max(32, 2 * MICROBATCH * torch.get_num_threads())
        else:
            size = max(16, min(256, 128 * 224**2 // side**2))
        return self.engine.capacity.images_at_a_time(size)
