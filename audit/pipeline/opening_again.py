"""Opening a session on a worker: by the list that the run has, and never by the dataset."""

from __future__ import annotations

import json
import os
from functools import partial

import pandas as pd
import pyarrow as pa

from audit.dataset.foregrounds import open_foreground
from audit.dataset.sample_table import read_samples
from audit.errors import AuditError, RunFolderError
from audit.findings import RunFacts, read_facts
from audit.manifest import load_manifest
from audit.pipeline.devices import check_precision, choose_device
from audit.pipeline.fetching import Fetcher
from audit.pipeline.loaders import new_loader, own_estimator, plan_of
from audit.pipeline.methods import method_that_serves
from audit.pipeline.opening import key_of, open_engine
from audit.pipeline.progress import SILENT
from audit.pipeline.session import AuditRequest, Session
from audit.remote.addresses import folder_of_mirrors

_SAME = "Workers must see the dataset, the weights and the run folder under the same paths."


def open_again(request: AuditRequest, key: str, mirrors: str = "") -> Session:
    """Open the session of a run that another process has begun; nothing is listed again.

    Parameters
    ----------
    request : AuditRequest
        With the run folder.
    key : str
        The fingerprint that the run began with.
    mirrors : str
        Where fetched files lay there, if it is not where they lie here.

    Raises
    ------
    AuditError
        The run folder is not there or holds another audit; or weights, software or kind of device
        are others here.
    """
    facts, table = _begun(request, key)
    device = choose_device(_device_given(facts))
    manifest = load_manifest(request.manifest, request.overrides)
    check_precision(manifest, device)
    source = facts.foreground_source
    _move(table, mirrors, str(folder_of_mirrors()))
    masks = partial(open_foreground, source, manifest.foreground.options, manifest.folder)
    Fetcher(manifest, SILENT).fetch_missing(table, masks)
    estimator = own_estimator(manifest, source, device)
    engine = open_engine(manifest, device)
    identity = estimator.identity if estimator else source
    if key_of(manifest, table, engine.model, identity, device) != key:
        raise AuditError(
            "this worker does not see what the audit began with: its manifest, weights or software "
            f"differ, so its scores would not belong to the rest. {_SAME}"
        )
    return Session(
        request=request,
        manifest=manifest,
        table=table,
        # Both are told by the process that listed the dataset.
        skipped=(),
        remarks=(),
        engine=engine,
        saliency=method_that_serves(manifest, engine),
        class_names=facts.class_names,
        labels=facts.labels,
        source=source,
        key=key,
        loader=new_loader(
            manifest, engine.model, plan_of(manifest, engine.model, source, estimator, request.out)
        ),
        estimator=estimator,
    )


def _begun(request: AuditRequest, key: str) -> tuple[RunFacts, pd.DataFrame]:
    run = request.run
    try:
        facts, table = read_facts(run.run_json), read_samples(run.samples)
    except (OSError, RunFolderError, pa.ArrowException) as error:
        raise AuditError(
            f"{run.path}: this worker finds no run here that has begun ({error}). {_SAME}"
        ) from error
    if facts.fingerprint != key:
        raise AuditError(
            f"{run.path}: what this worker finds here is another audit (fingerprint "
            f"{facts.fingerprint[:8]}, expected {key[:8]}). {_SAME}"
        )
    return facts, table


def _device_given(facts: RunFacts) -> str:
    """The kind of device that the run began on; of several, that which the worker was given."""
    return "cpu" if facts.device.startswith("cpu") else "cuda"


def _move(table: pd.DataFrame, there: str, here: str) -> None:
    """Name the files of samples where they lie here, if mirrors lie in another folder."""
    if not there or there == here:
        return
    old, new = (os.fsencode(folder) + os.sep.encode() for folder in (there, here))
    for name in ("path", "mask"):
        table[name] = [
            new + path[len(old) :] if path and path.startswith(old) else path
            for path in table[name]
        ]
    before, now = (json.dumps(f"{folder}{os.sep}")[1:-1] for folder in (there, here))
    table["annotation"] = table["annotation"].str.replace(before, now, regex=False)
