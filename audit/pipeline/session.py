"""What one audit needs, opened once a run and passed on: manifest, samples, model, run folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import torch

import audit
from audit.dataset.chosen import only_listed
from audit.dataset.content_store import ContentStore
from audit.dataset.contents import NOTHING_READ, Hashed, hash_contents, take_contents
from audit.dataset.estimators import Estimator
from audit.dataset.foregrounds import chosen_source, open_foreground
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.readers import read_dataset, stamp_foregrounds
from audit.dataset.samples import Skipped
from audit.errors import ManifestError, nearest
from audit.manifest import Manifest, fingerprint, load_manifest
from audit.measuring.parts import Part
from audit.measuring.plan import MeasurementPlan, Workbench
from audit.measuring.shards import shard_count
from audit.models import AuditedModel, load_model
from audit.models.engine import Engine
from audit.models.labels import match_labels
from audit.models.layout import MICROBATCH
from audit.models.probe import count_outputs
from audit.pipeline.devices import check_precision, choose_device
from audit.pipeline.loaders import new_loader, own_estimator, plan_of, second_estimator
from audit.pipeline.methods import method_that_serves
from audit.pipeline.progress import SILENT, Progress
from audit.plugin_sources import sources_sha256
from audit.run_folder import RunFolder
from audit.saliency.choosing import MethodChoice
from audit.sampling import at_most, spread_over

Declared: TypeAlias = str | Path | Mapping[str, object]
LaidOver: TypeAlias = Sequence[str] | Mapping[str, object]


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
        """Further decoding children, which load by another plan; enter it to start them."""
        return new_loader(self.manifest, self.model, plan)

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return shard_count(len(self.table), self.manifest.run.shard_size)

    def shard(self, number: int) -> pd.DataFrame:
        """The rows of one shard."""
        size = self.manifest.run.shard_size
        return self.table.iloc[number * size : (number + 1) * size]

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
    def workbench(self) -> Iterator[Workbench]:
        """What a step of measuring works with."""
        with self.loader as loader:
            yield Workbench(self.table, loader, self.engine, self.measurement(), self.batch_size())

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


def open_session(
    request: AuditRequest,
    manifest: Manifest | None = None,
    progress: Progress = SILENT,
    *,
    contents: bool = True,
    frozen: bool = False,
) -> Session:
    """Open and check everything that an audit needs, in the order of how cheap the check is.

    Parameters
    ----------
    request : AuditRequest
        What is asked for.
    manifest : Manifest, optional
        One that is in no file; None reads the one that `request` names.
    progress : Progress
        Is told how many images have been listed, and then read for their hashes.
    contents : bool
        False where neither fingerprint nor donors of a run are wanted: no file is hashed.
    frozen : bool
        On a worker: the run folder's list of samples says what files hold whose stamps it has, so
        that a machine with a cache of its own does not read the whole dataset.

    Raises
    ------
    InputError
        Something given is wrong; the message says what.
    """
    manifest = manifest or load_manifest(request.manifest, request.overrides)
    device = choose_device(request.device)
    check_precision(manifest, device)
    with progress.step("listing"):
        dataset = read_dataset(
            manifest.dataset.reader,
            manifest.path(manifest.dataset.root, "dataset.root"),
            manifest.dataset.options,
            manifest.folder,
            partial(progress.advance, "listing"),
        )
    table, only = dataset.table, manifest.dataset.only
    if only is not None:
        table = only_listed(table, manifest.path(only, "dataset.only"))
    source = chosen_source(
        manifest.foreground.source,
        masks=bool(table["mask"].notna().any()),
        boxes=bool((table["boxes"] != "[]").any()),
        outlines=dataset.outlines,
    )
    if source != "none":
        second_estimator(manifest, device)
    foreground = open_foreground(source, manifest.foreground.options, manifest.folder)
    estimator = own_estimator(manifest, source, device)
    model = load_model(manifest.model, manifest.folder, device)
    model.in_bfloat16 = manifest.run.precision == "bf16"
    indices, names = match_labels(dataset.class_names, model.class_names, count_outputs(model))
    table.insert(2, "label", table["label_name"].map(indices).astype("int64"))
    if request.limit is not None:
        table = spread_over(table, request.limit, manifest.run.seed, "limit", column="label")
    engine = Engine(model, compiles=manifest.run.compile)
    stamp_foregrounds(table, foreground)
    hashed = NOTHING_READ
    if contents and not (frozen and take_contents(table, request.run.samples)):
        with progress.step("contents", len(table)):
            told = partial(progress.advance, "contents")
            hashed = hash_contents(table, foreground, ContentStore(), told)
    session = Session(
        request=request,
        manifest=manifest,
        table=table,
        skipped=dataset.skipped,
        remarks=(*dataset.remarks, *model.remarks),
        engine=engine,
        saliency=method_that_serves(manifest, engine),
        class_names=names,
        labels={index: label for label, index in indices.items()},
        source=source,
        key=_key(manifest, table, model, estimator.identity if estimator else source, device),
        loader=new_loader(
            manifest, model, plan_of(manifest, model, source, estimator, request.out)
        ),
        estimator=estimator,
        hashed=hashed,
    )
    _check_cmv_classes(session)
    return session


def open_declared(
    manifest: Declared,
    overrides: LaidOver = (),
    *,
    limit: int | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
    accept_accuracy: bool = False,
    contents: bool = True,
) -> Session:
    """Open a session for a manifest in a file, or at hand.

    Parameters
    ----------
    manifest : str, Path or mapping
        A file, or what would stand in one; paths are then relative to the current folder.
    overrides : sequence of str, or mapping
        ``"key.path=value"`` each, or values by key path.
    limit, device, accept_accuracy
        See :class:`AuditRequest`.
    progress, contents
        See :func:`open_session`.

    Raises
    ------
    InputError
        Something given is wrong; the message says what.
    """
    lines = laid_over(overrides)
    if not isinstance(manifest, Mapping):
        request = AuditRequest(str(manifest), "", lines, limit, device, accept_accuracy)
        return open_session(request, None, progress, contents=contents)
    request = AuditRequest("", "", lines, limit, device, accept_accuracy)
    return open_session(request, load_manifest(manifest, lines), progress, contents=contents)


def laid_over(overrides: LaidOver) -> tuple[str, ...]:
    """Overrides as the command line writes them.

    Examples
    --------
    >>> laid_over({"run.seed": 1, "report.formats": ["html"]})
    ('run.seed=1', 'report.formats=["html"]')
    """
    if isinstance(overrides, Mapping):
        return tuple(f"{key}={json.dumps(value)}" for key, value in overrides.items())
    return tuple(overrides)


def _check_cmv_classes(session: Session) -> None:
    wanted = session.manifest.cmv.classes
    if isinstance(wanted, tuple):
        unknown = [name for name in wanted if name not in session.labels.values()]
        if unknown:
            known = sorted(set(session.labels.values()))
            raise ManifestError(
                f"cmv.classes: {unknown[0]!r} is no class of the dataset."
                f"{nearest(unknown[0], known)}"
            )


def _without_patch(version: str) -> str:
    """A release, of which a patch mends faults and leaves the scores alone.

    Examples
    --------
    >>> _without_patch("2.10.1+cu128"), _without_patch("0.1.0")
    ('2.10', '0.1')
    """
    return ".".join(version.split("+")[0].split(".")[:2])


def _key(
    manifest: Manifest, table: pd.DataFrame, model: AuditedModel, source: str, device: torch.device
) -> str:
    """Fingerprint of everything that a score depends on.

    Files count by what they hold: one that was copied, restored or touched is the same.
    """
    columns = ["sample_id", "label", "boxes", "sha256", "mask_sha256"]
    listed = pd.util.hash_pandas_object(table[columns], index=False)
    named = [manifest.dataset.reader, manifest.foreground.source or "", manifest.model.loader]
    # The loaders `lightning` and `pickled` take a function as the network's name, too.
    named += [manifest.saliency.method, str(manifest.model.options.get("name", ""))]
    code = sources_sha256([name for name in named if ":" in name], manifest.folder)
    releases = [_without_patch(version) for version in (audit.__version__, torch.__version__)]
    return fingerprint(
        manifest.scores_key(),
        [source, model.sha256, device.type, *releases, *([code] if code else [])],
        [len(table), int(listed.to_numpy().sum(dtype="uint64"))],
    )
