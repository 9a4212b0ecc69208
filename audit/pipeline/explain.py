"""One image explained, or the class model visualizations alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.markup import escape

from audit.cmv import OBJECTIVES
from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.readers import samples_table
from audit.dataset.samples import Sample
from audit.errors import DatasetError, ManifestError
from audit.pipeline.cmv_material import Material
from audit.pipeline.cmvs import draw_cmvs
from audit.pipeline.session import AuditRequest, Session, open_session
from audit.pixels import to_float, to_picture
from audit.report.overlays import overlay, to_png
from audit.run_folder import RunFolder, file_slug, write_bytes
from audit.saliency import Against, explain
from audit.sampling import sample_seed
from audit.scoring import STATUSES, score_maps
from audit.verdicts.evidence import plain


def visualize_alone(
    manifest: str,
    classes: tuple[str, ...],
    objective: str,
    against: str | None,
    out: Path,
    device: str,
    overrides: tuple[str, ...],
    console: Console,
) -> None:
    """Make CMVs into a folder.

    Raises
    ------
    ManifestError
        An unknown class or objective, or `against` without contrast.
    """
    session = open_session(AuditRequest(manifest, "", overrides, None, device))
    if objective not in (*OBJECTIVES, "both"):
        expected = ", ".join(OBJECTIVES)
        raise ManifestError(f"--objective: expected {expected} or both, found {objective!r}")
    if against is not None and objective != "contrast":
        raise ManifestError("--against: goes with --objective contrast only")
    objectives = ("logit", "softmax") if objective == "both" else (objective,)
    wanted = session.manifest.cmv.model_copy(update={"objectives": objectives})
    chosen = {_class(session, name): name for name in classes} or dict(session.labels)
    rivals = {} if against is None else dict.fromkeys(chosen, _class(session, against))
    run = RunFolder(out.resolve().parent / out.name)
    with console.status("making class model visualizations"):
        made = draw_cmvs(run, chosen, wanted, Material(session, rivals))
    for entry in made:
        console.print(
            f"{escape(str(out / entry['path']))}  p = {entry['probability']:.2f}, after shifts "
            f"{entry['robust_probability']:.2f}{'  FAILED' if entry['failed'] else ''}"
        )


def _class(session: Session, name: str) -> int:
    if name not in session.class_names:
        raise ManifestError(f"{name!r} is no class of the model")
    return session.class_names.index(name)


def explain_one(
    manifest: str,
    image: str,
    target: str | None,
    against: str | None,
    method: str | None,
    out: str | None,
    device: str,
    console: Console,
) -> dict[str, Any]:
    """Explain one image and write its overlay.

    Raises
    ------
    InputError
        Unknown class, or an image that cannot be read.
    """
    overrides = () if method is None else (f"saliency.method={method}", "saliency.options={}")
    session = open_session(AuditRequest(manifest, "", overrides, None, device))
    batch = _load(session, image, target)
    images = to_float(batch.images.to(session.model.device))
    with torch.no_grad():
        scores = session.model(images)
    probabilities = scores.softmax(1)[0].cpu()
    label = _class(session, target) if target else int(probabilities.argmax())
    model = session.engine
    explained: Any = model if against is None else Against(model, _class(session, against))
    plan = session.measurement()
    maps = explain(
        explained,
        images,
        torch.tensor([label], device=model.device),
        method=plan.method,
        target="logit" if against else plan.target,
        seeds=[sample_seed(plan.seed, batch.ids[0], "saliency")],
    ).maps
    found = _describe(session, batch, maps, probabilities, label, against)
    path = Path(out or f"{file_slug(Path(image).stem)}-overlay.png")
    foreground = batch.foreground[0].numpy()
    pixels = to_picture(batch.images[0])
    drawn = overlay(pixels, maps[0].cpu().numpy(), foreground if foreground.any() else None)
    write_bytes(path, to_png(drawn))
    for name, probability in found["top"].items():
        console.print(f"  {probability:6.1%}  {escape(name)}")
    if found["foreground_mass"] is not None:
        console.print(
            f"{found['foreground_mass']:.0%} of the map lies on the object, which covers "
            f"{found['foreground_area']:.0%} of the image."
        )
    console.print(f"Overlay: {escape(str(path))}")
    return {**found, "overlay": str(path)}


def _load(session: Session, image: str, target: str | None) -> Batch:
    table = session.table
    known = table[table["sample_id"] == image]
    if known.empty:
        resolved = Path(image).resolve()
        known = table[[Path(os.fsdecode(p)).resolve() == resolved for p in table["path"]]]
    if known.empty:
        sample = Sample(Path(image).name, Path(image).resolve(), target or "")
        known = samples_table([sample], [0])
    with session.loader() as loader:
        batch = next(iter(iterate_batches(pd.DataFrame(known), loader, 1)))
    if not len(batch):
        raise DatasetError(f"{image}: {batch.unreadable[0][1]}")
    return batch


def _describe(
    session: Session,
    batch: Batch,
    maps: torch.Tensor,
    probabilities: torch.Tensor,
    label: int,
    against: str | None,
) -> dict[str, Any]:
    localisation = score_maps(maps.cpu(), batch.foreground, batch.ignored)
    top = probabilities.topk(min(5, len(probabilities)))
    mass, area = localisation["foreground_mass"], localisation["foreground_area"]
    described: dict[str, Any] = plain(
        {
            "explained": session.class_names[label],
            "against": against,
            "status": STATUSES[int(localisation["status"][0])],
            "foreground_mass": float(mass[0]),
            "foreground_area": float(area[0]),
            "top": {
                session.class_names[int(i)]: float(p)
                for p, i in zip(top.values, top.indices, strict=True)
            },
        }
    )
    return described
