"""Before the first shard: check everything, freeze the list of samples, open the run folder."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import secrets
import shutil
import time

import torch

import audit
from audit.dataset.estimators import Estimator
from audit.dataset.sample_table import sample_rows
from audit.errors import RunFolderError
from audit.exports import EXPORTS
from audit.findings import (
    Counts,
    EstimatorFacts,
    Hashes,
    RunFacts,
    RunStatus,
    Settings,
    read_facts,
    write_facts,
)
from audit.manifest import fingerprint
from audit.measuring.columns import write_table_of
from audit.pipeline.check import try_one_batch
from audit.pipeline.cmv_material import check_second
from audit.pipeline.costs import check_room
from audit.pipeline.devices import precision_in_words
from audit.pipeline.methods import described
from audit.pipeline.run_json import now
from audit.pipeline.session import Session
from audit.pipeline.settings import settings_key
from audit.report.style import check_style, keep_style
from audit.run_folder import RunFolder
from audit.writing import write_bytes

_log = logging.getLogger(__name__)

_VERSIONED = ("torch", "torchvision", "prefect", "pandas", "pillow", "weasyprint", "numpy")


def prepare(session: Session, *, resume: bool = True) -> None:
    """Check everything, freeze the list of samples and open the run.

    Raises
    ------
    InputError
        Something given is wrong, or the folder holds another audit.
    """
    run = session.run
    run.prepare()
    before = read_facts(run.run_json) if run.run_json.exists() else None
    if before and not resume:
        _clear(run)
        before = None
    shard_size = session.manifest.run.shard_size
    if before and before.fingerprint != session.key:
        raise RunFolderError(
            f"{run.path}: holds another audit (its dataset, model, method or software differs). "
            "Choose another --out, or replace it with --no-resume."
        )
    if before and before.shard_size != shard_size:
        # Parts of another size cannot be mixed.
        shutil.rmtree(run.path / "scores", ignore_errors=True)
    check_room(session, run.path)
    check_second(session)
    for remark in session.remarks:
        _log.warning("%s", remark)
    accuracy = try_one_batch(session).accuracy
    check_style(session.manifest)
    facts = _facts(session, before, accuracy)
    # First: by this file a folder is known as a run, whenever the rest is cut off.
    write_facts(run.run_json, facts)
    keep_style(run.path, session.manifest)
    write_bytes(run.manifest, session.manifest.source.encode())
    _drop_mixed(run, session)
    write_table_of(run, run.samples, sample_rows(session.table))
    if session.engine.compiles:
        write_facts(run.run_json, _compile(session, facts))


def _compile(session: Session, facts: RunFacts) -> RunFacts:
    """Compile now what would be compiled at the first picture, and count the time it takes."""
    engine = session.engine
    began, side = time.monotonic(), engine.geometry.size
    image = torch.zeros(1, 3, side, side, device=engine.device)
    taken = engine.for_scores(image)[0] is not engine.folded(image)
    spent = round((facts.timings.get("compiling") or 0.0) + time.monotonic() - began, 3)
    return facts.model_copy(
        update={"compiled": taken, "timings": facts.timings | {"compiling": spent}}
    )


def _clear(run: RunFolder) -> None:
    """Empty a run folder of what a run writes, and of nothing else.

    ``run.json`` stays until another is laid over it: a folder without it would be refused.
    """
    theme = run.path / "theme"
    for folder in (
        run.path / "scores",
        run.follow_up_parts,
        run.more_images_parts,
        run.second_outlines_parts,
        run.outlines,
        run.donors,
        run.cmv,
        run.exhibits,
        run.cues,
        theme,
        run.path / "repair",
        run.fiftyone,
    ):
        shutil.rmtree(folder, ignore_errors=True)
    for path in (
        run.scores,
        run.follow_up,
        run.masks,
        run.suspect_masks,
        run.more_images,
        run.more_follow_up,
        run.second_outlines,
        run.second_follow_up,
        run.controls,
        run.classes,
        run.classes_csv,
        run.confusions,
        run.swap_matrix,
        run.findings,
        run.repair,
    ):
        path.unlink(missing_ok=True)
    for name in (
        "report.html",
        "report.pdf",
        *(export.file for export in EXPORTS.values()),
        "problems.csv",
        "samples.parquet",
        "error.txt",
        "run.log",
    ):
        (run.path / name).unlink(missing_ok=True)


def _drop_mixed(run: RunFolder, session: Session) -> None:
    """Remove parts beyond the end, which an older list of samples may have left."""
    for part in (run.path / "scores").glob("part-*.parquet"):
        # Whoever mirrors folders leaves copies under other names, which nobody reads.
        number = part.stem.removeprefix("part-")
        if number.isdecimal() and int(number) >= session.shards:
            part.unlink()


def _facts(session: Session, before: RunFacts | None, accuracy: float) -> RunFacts:
    started = before.started if before else now()
    manifest, model = session.manifest, session.model
    device = str(model.device)
    if model.device.type == "cuda":
        device += f" ({torch.cuda.get_device_name(model.device)})"
    return RunFacts(
        status=RunStatus.RUNNING,
        name=manifest.name,
        # Two runs may begin in one second.
        run_id=before.run_id if before else f"{started}-{session.key[:8]}-{secrets.token_hex(2)}",
        started=started,
        fingerprint=session.key,
        shard_size=manifest.run.shard_size,
        device=device,
        seed=manifest.run.seed,
        precision=precision_in_words(manifest.run.precision, model.device),
        versions=_versions(),
        hashes=Hashes(
            model=model.sha256,
            manifest=fingerprint(manifest.source),
            settings=settings_key(manifest),
        ),
        timings={
            "contents": round(session.hashed.seconds, 3),
            **(before.timings if before else {}),
        },
        counts=before.counts if before else Counts(),
        class_names=tuple(session.class_names),
        labels=dict(session.labels),
        foreground_source=session.source,
        estimator=estimator_facts(session.estimator),
        model_name=model.name,
        limit=session.request.limit,
        probe_accuracy=accuracy,
        settings=_settings(session),
    )


def estimator_facts(estimator: Estimator | None) -> EstimatorFacts | None:
    """What the record says of the network that drew the outlines."""
    if estimator is None:
        return None
    return EstimatorFacts(
        name=estimator.name,
        sha256=estimator.sha256,
        licence=estimator.provenance.licence,
        trained_on=estimator.provenance.trained_on,
    )


def _settings(session: Session) -> Settings:
    manifest, model, geometry = session.manifest, session.model, session.model.geometry
    layer = session.saliency.layer
    return {
        "saliency method": described(session.saliency),
        **({"saliency layer": f"{layer.name}, {layer.grid.size}"} if layer else {}),
        "saliency target": manifest.saliency.target,
        "foreground source": session.source,
        "donors per image": manifest.interventions.donors,
        "fill": manifest.interventions.fill,
        "input side": geometry.size,
        "resize": geometry.resize,
        "crop": geometry.crop,
        "interpolation": geometry.interpolation,
        "mean": ", ".join(f"{v:.4g}" for v in model.mean.flatten().tolist()),
        "std": ", ".join(f"{v:.4g}" for v in model.std.flatten().tolist()),
        **({"compile": True} if manifest.run.compile else {}),
        **({"trusted file": model.trusted} if model.trusted else {}),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    # A checkout need not be installed.
    found["saliency-audit"] = audit.__version__
    return found | {name: importlib.metadata.version(name) for name in _VERSIONED}
