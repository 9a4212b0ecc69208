"""What one audit needs, opened once a process: manifest, samples, model, run folder.

Only an :class:`AuditRequest` - names and paths - crosses a Prefect task; each process opens the
session behind it for itself and keeps the last one.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import audit
from audit.dataset.batches import iterate_batches
from audit.dataset.foregrounds import chosen_source, open_foreground
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.readers import read_dataset, stamp_foregrounds
from audit.dataset.samples import Skipped
from audit.errors import DatasetError, ManifestError
from audit.manifest import Manifest, fingerprint, load_manifest
from audit.measuring.plan import MeasurementPlan
from audit.models import AuditedModel, load_model
from audit.models.audited import has_bfloat16
from audit.models.engine import Engine
from audit.models.labels import match_labels
from audit.models.layout import MICROBATCH
from audit.models.probe import count_outputs, probe
from audit.pipeline.methods import method_that_serves
from audit.pixels import to_float
from audit.run_folder import RunFolder
from audit.saliency.choosing import MethodChoice
from audit.sampling import spread_over

PROBE_IMAGES = 64


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditRequest:
    """What was asked for, in names and paths only.

    Parameters
    ----------
    manifest : str
        Path of the manifest.
    out : str
        The run folder.
    overrides : tuple of str
        ``key.path=value`` each.
    limit : int or None
        Audit only so many images, spread over the classes.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
    """

    manifest: str
    out: str
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    device: str = "auto"

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
    engine: Engine
    saliency: MethodChoice
    class_names: tuple[str, ...]
    labels: dict[int, str]
    source: str
    key: str

    @property
    def run(self) -> RunFolder:
        """The run folder."""
        return self.request.run

    @property
    def model(self) -> AuditedModel:
        """The model that is audited."""
        return self.engine.model

    @property
    def has_foregrounds(self) -> bool:
        """Whether the audit was given foregrounds."""
        return self.source != "none"

    def loader(self) -> Loader:
        """Start the decoding children."""
        # A GPU waits for them sooner.
        most = 8 if self.model.device.type == "cpu" else 16
        workers = self.manifest.run.workers or min(most, os.cpu_count() or 1)
        options = self.manifest.foreground.options
        plan = LoadingPlan(self.model.geometry, self.source, options, self.manifest.folder)
        return Loader(plan, workers)

    def measurement(self) -> MeasurementPlan:
        """What is done to every image."""
        return MeasurementPlan(
            method=self.saliency.method,
            target=self.manifest.saliency.target,
            donors=self.manifest.interventions.donors,
            fill=self.manifest.interventions.fill,
            also=self.manifest.interventions.also,
            doubt=self.manifest.foreground.doubt,
            seed=self.manifest.run.seed,
        )

    def batch_size(self) -> int:
        """Images at a time; fewer after memory did not suffice."""
        asked = self.manifest.run.batch_size
        side = self.model.geometry.size
        if asked != "auto":
            wanted = asked
        elif self.model.device.type == "cpu":
            wanted = max(32, 2 * MICROBATCH * torch.get_num_threads())
        else:
            wanted = max(16, min(256, 128 * 224**2 // side**2))
        return self.engine.images_at_a_time(wanted)


def choose_device(name: str) -> torch.device:
    """The device that a name means.

    Raises
    ------
    ManifestError
        A GPU is asked for and none is there, or the name is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ManifestError(
            f"--device: expected auto, cpu, cuda or cuda:i, found {name!r}"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ManifestError(f"--device {name}: torch finds no CUDA device here. Use --device cpu.")
    return device


def open_session(request: AuditRequest) -> Session:
    """Open a session, or take the one that this process opened last.

    Raises
    ------
    InputError
        Something given is wrong; the message says what.
    """
    # The run folder is no part of what is opened.
    opened = _open(dataclasses.replace(request, out=""))
    return dataclasses.replace(opened, request=request)


@functools.lru_cache(maxsize=1)
def _open(request: AuditRequest) -> Session:
    """Open and check everything that an audit needs, in the order of how cheap the check is.

    Raises
    ------
    InputError
        Something given is wrong; the message says what.
    """
    manifest = load_manifest(request.manifest, request.overrides)
    device = choose_device(request.device)
    _check_precision(manifest, device)
    # Plugins may lie beside the manifest.
    if str(manifest.folder) not in sys.path:
        sys.path.insert(0, str(manifest.folder))
    dataset = read_dataset(
        manifest.dataset.reader, manifest.path(manifest.dataset.root), manifest.dataset.options
    )
    table = dataset.table
    source = chosen_source(
        manifest.foreground.source,
        masks=bool(table["mask"].notna().any()),
        boxes=bool((table["boxes"] != "[]").any()),
        outlines=dataset.outlines,
    )
    foreground = open_foreground(source, manifest.foreground.options, manifest.folder)
    model = load_model(manifest.model, manifest.folder, device)
    model.in_bfloat16 = manifest.run.precision == "bf16"
    indices, names = match_labels(dataset.class_names, model.class_names, count_outputs(model))
    table.insert(2, "label", table["label_name"].map(indices).astype("int64"))
    if request.limit is not None:
        table = spread_over(table, request.limit, manifest.run.seed, "limit", column="label")
    engine = Engine(model, compiles=manifest.run.compile)
    stamp_foregrounds(table, foreground)
    session = Session(
        request=request,
        manifest=manifest,
        table=table,
        skipped=dataset.skipped,
        engine=engine,
        saliency=method_that_serves(manifest, engine),
        class_names=names,
        labels={index: label for label, index in indices.items()},
        source=source,
        key=_key(manifest, table, model, source, device),
    )
    _check_cmv_classes(session)
    return session


def _check_precision(manifest: Manifest, device: torch.device) -> None:
    if manifest.run.precision != "bf16" or has_bfloat16(device):
        return
    if device.type == "cuda":
        raise ManifestError(
            "run.precision: this GPU has no bfloat16. Use float32, or auto, which is the same."
        )
    _log.warning(
        "run.precision: bf16: this CPU has no instructions for bfloat16; float32 is many times "
        "as fast here"
    )


def _check_cmv_classes(session: Session) -> None:
    wanted = session.manifest.cmv.classes
    if isinstance(wanted, tuple):
        unknown = [name for name in wanted if name not in session.labels.values()]
        if unknown:
            raise ManifestError(f"cmv.classes: {unknown[0]!r} is no class of the dataset")


def _key(
    manifest: Manifest, table: pd.DataFrame, model: AuditedModel, source: str, device: torch.device
) -> str:
    """Fingerprint of everything that a score depends on."""
    columns = ["sample_id", "label", "size", "mtime_ns", "member", "boxes"]
    columns += ["mask_size", "mask_mtime_ns"]
    listed = pd.util.hash_pandas_object(table[columns], index=False)
    return fingerprint(
        manifest.scores_key(),
        [source, model.sha256, device.type, audit.__version__, torch.__version__],
        [len(table), int(listed.to_numpy().sum(dtype="uint64"))],
    )


def try_one_batch(session: Session) -> dict[str, Any]:
    """Load some images spread over the classes and try the model on them.

    Raises
    ------
    DatasetError
        None of them can be read.
    ModelError
        See :func:`audit.models.probe.probe`.
    """
    seed = session.manifest.run.seed
    few = spread_over(session.table, PROBE_IMAGES, seed, "limit", column="label")
    with session.loader() as loader:
        batch = next(iter(iterate_batches(few, loader, len(few))))
    if not len(batch):
        _, error = batch.unreadable[0]
        raise DatasetError(f"dataset: none of {len(few)} images tried can be read; first: {error}")
    images = to_float(batch.images.to(session.model.device))
    accuracy = probe(session.model, images, batch.targets.to(session.model.device))
    return {
        "images": len(batch),
        "unreadable": len(batch.unreadable),
        "with_foreground": int(batch.foreground.flatten(1).any(1).sum()),
        "accuracy": accuracy,
        "batch": batch,
    }
