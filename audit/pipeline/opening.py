"""Opening a session: all that an audit needs, checked in the order of how cheap that is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import torch

import audit
from audit.dataset.chosen import only_listed
from audit.dataset.content_store import ContentStore
from audit.dataset.contents import NOTHING_READ, Hashed, hash_contents
from audit.dataset.foregrounds import chosen_source, open_foreground
from audit.dataset.outlines import Foreground
from audit.dataset.readers import Dataset, not_found, read_dataset
from audit.dataset.sample_table import stamp_foregrounds, stamp_images
from audit.errors import ManifestError, nearest
from audit.manifest import Manifest, fingerprint, load_manifest
from audit.models import AuditedModel, load_model
from audit.models.engine import Engine
from audit.models.labels import match_labels
from audit.models.probe import count_outputs
from audit.models.rounding import ROUNDING
from audit.pipeline.devices import check_precision, choose_device
from audit.pipeline.fetching import Fetcher
from audit.pipeline.loaders import new_loader, own_estimator, plan_of, second_estimator
from audit.pipeline.methods import method_that_serves
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.session import AuditRequest, Session
from audit.plugin_sources import sources_sha256
from audit.sampling import spread_over

Declared: TypeAlias = str | Path | Mapping[str, object]
LaidOver: TypeAlias = Sequence[str] | Mapping[str, object]


def open_session(
    request: AuditRequest,
    manifest: Manifest | None = None,
    progress: Progress = SILENT,
    *,
    contents: bool = True,
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

    Raises
    ------
    InputError
        Something given is wrong; the message says what.
    """
    manifest = manifest or load_manifest(request.manifest, request.overrides)
    device = choose_device(request.device)
    check_precision(manifest, device)
    fetcher = Fetcher(manifest, progress)
    fetcher.fetch_declared()
    dataset, table = _listed(manifest, progress, fetcher.knows_names)
    source = _source(manifest, dataset, table)
    if source != "none":
        second_estimator(manifest, device)
    foreground = open_foreground(source, manifest.foreground.options, manifest.folder)
    estimator = own_estimator(manifest, source, device)
    engine = open_engine(manifest, device)
    model = engine.model
    indices, names = match_labels(dataset.class_names, model.class_names, count_outputs(model))
    table.insert(2, "label", table["label_name"].map(indices).astype("int64"))
    if request.limit is not None:
        table = spread_over(table, request.limit, manifest.run.seed, "limit", column="label")
    remarks = dataset.remarks
    if fetcher.fetch_listed(table, foreground):
        stamp_images(table)
        remarks += () if fetcher.knows_names else not_found(table)
    stamp_foregrounds(table, foreground)
    hashed = _hash(table, foreground, progress) if contents else NOTHING_READ
    session = Session(
        request=request,
        manifest=manifest,
        table=table,
        skipped=dataset.skipped,
        remarks=(*remarks, *model.remarks),
        engine=engine,
        saliency=method_that_serves(manifest, engine),
        class_names=names,
        labels={index: label for label, index in indices.items()},
        source=source,
        key=key_of(manifest, table, model, estimator.identity if estimator else source, device),
        loader=new_loader(
            manifest, model, plan_of(manifest, model, source, estimator, request.out)
        ),
        estimator=estimator,
        hashed=hashed,
    )
    _check_cmv_classes(session)
    return session


def open_engine(manifest: Manifest, device: torch.device) -> Engine:
    """The audited model, as it is asked: loaded, and not yet tried.

    Raises
    ------
    InputError
        It cannot be loaded.
    """
    run, model = manifest.run, load_model(manifest.model, manifest.folder, device)
    model.in_bfloat16 = run.precision == "bf16"
    return Engine(model, compiles=run.compile, rounding=ROUNDING[run.precision])


def _source(manifest: Manifest, dataset: Dataset, table: pd.DataFrame) -> str:
    """Where foregrounds come from: what the manifest says, or what the samples have."""
    return chosen_source(
        manifest.foreground.source,
        masks=bool(table["mask"].notna().any()),
        boxes=bool((table["boxes"] != "[]").any()),
        outlines=dataset.outlines,
    )


def _hash(table: pd.DataFrame, foreground: Foreground | None, progress: Progress) -> Hashed:
    with progress.step("contents", len(table)):
        advance = partial(progress.advance, "contents")
        return hash_contents(table, foreground, ContentStore(), advance)


def _listed(manifest: Manifest, progress: Progress, is_here: bool) -> tuple[Dataset, pd.DataFrame]:
    """What the reader finds, and the rows of it that ``dataset.only`` names."""
    declared = manifest.dataset
    with progress.step("listing"):
        found = read_dataset(
            declared.reader,
            manifest.path(declared.root, "dataset.root"),
            declared.options,
            manifest.folder,
            partial(progress.advance, "listing"),
            is_here=is_here,
        )
    if declared.only is None:
        return found, found.table
    return found, only_listed(found.table, manifest.path(declared.only, "dataset.only"))


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
    declared = session.manifest.cmv.classes
    if isinstance(declared, tuple):
        unknown = [name for name in declared if name not in session.labels.values()]
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


def key_of(
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
