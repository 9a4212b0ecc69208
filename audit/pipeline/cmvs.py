"""Class model visualizations: those that a manifest asks for, or some alone."""

from __future__ import annotations

import logging
from pathlib import Path

from audit.cmv import OBJECTIVES
from audit.errors import ManifestError, ModelError
from audit.findings import CmvEntry
from audit.pipeline.cmv_material import Material
from audit.pipeline.cmv_orders import CmvOrder, orders_of
from audit.pipeline.cmv_pictures import draw_cmvs
from audit.pipeline.decide import Decided
from audit.pipeline.methods import NO_CMVS
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.run_folder import RunFolder

_log = logging.getLogger(__name__)


def visualize_classes(
    session: Session,
    decided: Decided,
    progress: Progress = SILENT,
    runner: StepRunner = SEQUENTIAL,
) -> list[CmvEntry]:
    """Make the class model visualizations that the manifest asks for; returns their list."""
    if not session.saliency.differentiable and session.manifest.cmv.classes != "none":
        _log.warning("cmv: %s", NO_CMVS)
    return draw_cmvs(
        session.run,
        session.labels,
        _orders(session, decided),
        Material(session, _rivals(session, decided)),
        progress=progress,
        runner=runner,
    )


def count_cmvs(session: Session, decided: Decided) -> int:
    """How many class model visualizations the manifest asks for."""
    return sum(len(order.steps) for order in _orders(session, decided))


def _orders(session: Session, decided: Decided) -> list[CmvOrder]:
    """The class model visualizations that the manifest asks for."""
    section = session.manifest.cmv
    if section.classes == "none" or not session.saliency.differentiable:
        return []
    suspects = {finding.label for finding in decided.suspects}
    if section.classes == "suspect":
        return orders_of(section, suspects)
    if section.classes == "all":
        full = suspects if section.brief else session.labels.keys()
        return orders_of(section, full, session.labels.keys() - full)
    return orders_of(section, [k for k, name in session.labels.items() if name in section.classes])


def _rivals(session: Session, decided: Decided) -> dict[int, int]:
    """The class that each is contrasted with, where the findings name one."""
    indices = {name: index for index, name in enumerate(session.class_names)}
    return {
        finding.label: indices[finding.contrast_class]
        for finding in decided.findings.findings
        if finding.contrast_class in indices
    }


def visualize_alone(
    session: Session, classes: tuple[str, ...], objective: str, against: str | None, out: Path
) -> list[CmvEntry]:
    """Make CMVs into the folder ``cmv`` below `out`, without an audit.

    Parameters
    ----------
    session : Session
        For its model.
    classes : tuple of str
        Names of the model's classes; none: all classes of the dataset.
    objective : str
        One of :data:`audit.cmv.OBJECTIVES`, or ``both``: class score and posterior.
    against : str or None
        With ``contrast``: rather than this class.
    out : Path
        A folder.

    Returns
    -------
    list of CmvEntry
        The entries of ``cmv/index.json``.

    Raises
    ------
    ManifestError
        An unknown class or objective, or `against` without contrast.
    ModelError
        The model has no derivatives to climb by.
    """
    if not session.saliency.differentiable:
        raise ModelError(f"cmv: {NO_CMVS}")
    if objective not in (*OBJECTIVES, "both"):
        expected = ", ".join(OBJECTIVES)
        raise ManifestError(f"--objective: expected {expected} or both, found {objective!r}")
    if against is not None and objective != "contrast":
        raise ManifestError(
            "--against: goes with --objective contrast only; write that, too, or leave it out"
        )
    objectives = ("logit", "softmax") if objective == "both" else (objective,)
    section = session.manifest.cmv.model_copy(update={"objectives": objectives})
    chosen = {session.output(name): name for name in classes} or dict(session.labels)
    rivals = {} if against is None else dict.fromkeys(chosen, session.output(against))
    run = RunFolder(out.resolve().parent / out.name)
    return draw_cmvs(run, chosen, orders_of(section, chosen), Material(session, rivals))
