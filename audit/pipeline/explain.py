"""One image explained, by one method or by several."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import overload

import pandas as pd
import torch
from torch import Tensor, nn

from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.sample_table import samples_table
from audit.dataset.samples import Sample
from audit.errors import DatasetError, ManifestError
from audit.pipeline.explain_parts import SWAP_MAP, explain_by_parts
from audit.pipeline.explanations import ExplainedImage, Explanation, describe, finite
from audit.pipeline.methods import method_that_serves
from audit.pipeline.opening import Declared, LaidOver, laid_over, open_declared
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.session import Session
from audit.pixels import to_float, to_picture
from audit.report.overlays import signed_overlay
from audit.saliency import Against
from audit.saliency import explain as saliency_maps
from audit.saliency.contributions import completeness_error
from audit.sampling import sample_seed


@overload
def explain(
    manifest: Declared,
    image: str | Path,
    *,
    target: str | None = None,
    against: str | None = None,
    method: str | None = None,
    device: str = "auto",
    overrides: LaidOver = (),
) -> Explanation: ...


@overload
def explain(
    manifest: Declared,
    image: str | Path,
    *,
    target: str | None = None,
    against: str | None = None,
    method: list[str] | list[str | None] | tuple[str | None, ...],
    device: str = "auto",
    overrides: LaidOver = (),
) -> list[Explanation]: ...


def explain(
    manifest: Declared,
    image: str | Path,
    *,
    target: str | None = None,
    against: str | None = None,
    method: str | Sequence[str | None] | None = None,
    device: str = "auto",
    overrides: LaidOver = (),
) -> Explanation | list[Explanation]:
    """Explain one image with the model and the method of a manifest.

    Parameters
    ----------
    manifest, device, overrides
        As for :func:`audit.run`.
    image : str or Path
        An image file, or the id of a sample.
    target : str, optional
        The class to explain; None: the one that the model answers.
    against : str, optional
        Explain what speaks for the class rather than for this one.
    method : str or list of str or None, optional
        Another saliency method, with its default options; or ``swap_map``: which parts the class
        loses by when they make room for backgrounds of `against`, or of the runner-up. None is
        the manifest's, with its options. Of a list, all explain the same class of the same image;
        the model is loaded once.

    Returns
    -------
    Explanation, or list of Explanation
        A list for a list, in its order; :func:`~audit.pipeline.explain_pictures.save_pictures`
        lays it side by side.

    Raises
    ------
    InputError
        Unknown class or method, or an image that cannot be read.
    """
    if method is not None and not method:
        raise ManifestError("method: expected the name of a saliency method, found none")
    names = [method] if method is None or isinstance(method, str) else method
    session = open_declared(manifest, laid_over(overrides), device=device, contents=False)
    # All of them before the first: a name that is none shall not cost the work of the others.
    sessions = [_by_method(session, name) for name in names]
    model = session.engine
    batch = _load(session, str(image), target)
    with torch.no_grad():
        probabilities = model(to_float(batch.images.to(model.device))).softmax(1)[0].cpu()
    label = session.output(target) if target else int(probabilities.argmax())
    asked = ExplainedImage(batch, probabilities, label, against)
    found = [
        _explain_by_parts(session, asked) if one is None else _explain_by_map(one, asked)
        for one in sessions
    ]
    return found[0] if method is None or isinstance(method, str) else found


def _by_method(session: Session, method: str | None) -> Session | None:
    """The session with another saliency method at its defaults; None stands for the swap map."""
    if method is None:
        return session
    if method == SWAP_MAP:
        return None
    section = session.manifest.saliency.model_copy(update={"method": method, "options": {}})
    manifest = session.manifest.model_copy(update={"saliency": section})
    chosen = method_that_serves(manifest, session.engine)
    return dataclasses.replace(session, manifest=manifest, saliency=chosen)


def _explain_by_parts(session: Session, asked: ExplainedImage) -> Explanation:
    """Which parts the class loses by when they make room for backgrounds of a rival."""
    batch, label = asked.batch, asked.label
    if asked.against is None:
        rival = _runner_up(asked.probabilities, label)
    else:
        rival = session.output(asked.against)
    parts = explain_by_parts(session, batch, label, rival)
    picture, foreground = to_picture(batch.images[0]), batch.foreground[0].numpy()
    effects = parts.summary(session.class_names, rival)
    return dataclasses.replace(
        describe(session, asked, torch.from_numpy(parts.loss)[None]),
        method=SWAP_MAP,
        in_place_of="",
        overlay=signed_overlay(picture, parts.strength, foreground),
        part_effects=effects,
    )


def _explain_by_map(session: Session, asked: ExplainedImage) -> Explanation:
    """The map of the session's method."""
    model, plan = session.engine, session.measurement()
    batch, against = asked.batch, asked.against
    images = to_float(batch.images.to(model.device))
    explained: nn.Module = model if against is None else Against(model, session.output(against))
    made = saliency_maps(
        explained,
        images,
        torch.tensor([asked.label], device=model.device),
        method=plan.method,
        target="logit" if against else plan.target,
        seeds=[sample_seed(plan.seed, batch.ids[0], "saliency")],
    )
    explanation = describe(session, asked, made.maps.cpu())
    if session.saliency.name != "integrated_gradients" or plan.target == "contrast":
        return explanation
    bound = plan.method.keywords if isinstance(plan.method, partial) else {}
    error = completeness_error(explained, images, made.targets, **bound)
    return dataclasses.replace(explanation, completeness_error=finite(error))


def _load(session: Session, image: str, target: str | None) -> Batch:
    table = session.table
    known = table[table["sample_id"] == image]
    if known.empty:
        resolved = Path(image).resolve()
        known = table[[Path(os.fsdecode(p)).resolve() == resolved for p in table["path"]]]
    if known.empty:
        sample = Sample(Path(image).name, Path(image).resolve(), target or "")
        known = samples_table([sample], [0])
    known = pd.DataFrame(known)
    ensure_outlines(session, known)
    with session.loader as loader:
        batch = next(iter(iterate_batches(known, loader, 1)))
    if not len(batch):
        raise DatasetError(f"{image}: {batch.unreadable[0][1]}")
    return batch


def _runner_up(probabilities: Tensor, label: int) -> int:
    """The most probable class but one."""
    others = probabilities.clone()
    others[label] = -1
    return int(others.argmax())
