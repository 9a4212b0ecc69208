"""What an audit will cost: seconds of each step, memory and disk, from a trial on a few images."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

import torch

from audit.errors import RunFolderError
from audit.exports.fiftyone import FORMAT as FIFTYONE
from audit.measuring import controls, follow_up, map_checks, second_outlines
from audit.pipeline import fiftyone
from audit.pipeline.cmv_costs import DERIVED, CmvWork
from audit.pipeline.outlines import seconds_an_outline
from audit.pipeline.session import Session
from audit.verdicts.more_images import may_be_looked_at_twice
from audit.verdicts.suspicion import PAIRS

_CHILD_BYTES = 180 * 2**20
_ROW_BYTES = 3_000
_EXHIBIT_BYTES = 150_000
_FEWEST_FILES = 200
_EXHIBITS = 4
"""Exhibits of a class, on average."""
_COPIES = 24
"""Float images that are alive at once for each image of a batch, activations among them."""
_PREFECT_BYTES = 330 * 2**20
"""Of the flow's modules and of the embedded server."""
_CLIMBING = 2
"""What an ascent holds at once, in what a pass keeps for its derivatives."""


@dataclass(frozen=True)
class UnitCosts:
    """Seconds of the pieces of which all steps are made, as a trial measured them.

    Parameters
    ----------
    background : float
        To decode one image and to fill the place of its object; 0 without foregrounds.
    image : float
        Everything that is done to one image: decoding, map, swaps and further experiments.
    map : float
        One saliency map.
    forward : float
        One image through the network.
    kept_bytes : int
        What one image's pass keeps for its derivatives; no seconds, but measured with them.
    """

    background: float
    image: float
    map: float
    forward: float
    kept_bytes: int = 0


def seconds_a_step(session: Session, unit: UnitCosts, cmv: CmvWork) -> dict[str, float]:
    """Seconds that each step will take, at most where it depends on what is found.

    Parameters
    ----------
    session : Session
        Opened.
    unit : UnitCosts
        From a trial on the same machine.
    cmv : CmvWork
        From :func:`audit.pipeline.cmv_costs.cmv_work`.

    Returns
    -------
    dict of str to float
        By the name of the step, in their order.
    """
    images, manifest = len(session.table), session.manifest
    counts = session.table["label"].value_counts()
    classes, swaps = len(counts), session.has_foregrounds
    swapped = images if session.swapped is None else len(session.swapped)
    # Each class on backgrounds of its own as well, at both looks; one pair of it at the second.
    donors = (PAIRS + 1) * follow_up.DONORS[1] + 2 * follow_up.DONORS[2]
    pairs = donors * int(counts.clip(upper=follow_up.IMAGES).sum())
    twice = may_be_looked_at_twice(session.table["label"], manifest)
    further = counts[list(twice)] - (manifest.swapped_images or 0)
    more = int(further.clip(upper=manifest.more_images).sum())
    each = unit.image + (PAIRS + 1) * follow_up.DONORS[1] * unit.forward
    tagged = controls.CLASSES * controls.IMAGES * len(controls.GAINS)
    tags = 2 * tagged * (1 + 2 * controls.DONORS) * unit.forward
    # Nobody knows yet how many classes will be suspect; about one in ten is thought of.
    suspects = 1 + classes // 10
    again = suspects * min(images // classes, second_outlines.IMAGES) * unit.image
    untrained = 2 * min(images, controls.UNTRAINED_IMAGES) * unit.map
    # Other methods that the maps are compared with: a dozen maps of one pass, and of eight.
    tried = map_checks.MAPS * unit.map + map_checks.IMAGES * 12 * DERIVED * unit.forward
    tried += map_checks.PASSES * unit.forward
    tried *= min(1, images / map_checks.IMAGES) * manifest.saliency.checked
    formats = {"html": 3 + 0.05 * classes, "pdf": 5 + 0.25 * classes}
    return {
        "outlines": seconds_an_outline(session) * images,
        "donors": unit.background * _bank(session),
        "scores": unit.map * (images - swapped) + unit.image * swapped,
        "follow-up": pairs * unit.forward if swaps else 0.0,
        "more images": more * each if swaps else 0.0,
        "second outlines": unit.background * _bank(session) + again if swaps else 0.0,
        "controls": (tags + untrained if swaps else 0.0) + tried,
        "decide": 0.04 * classes + 3e-5 * images,
        "exhibits": classes * _EXHIBITS * (unit.map + unit.forward + 0.3)
        + suspects * 40 * unit.map,
        "cues": suspects * 40 * (3 * unit.map + 20 * unit.forward) if swaps else 0.0,
        "cmvs": cmv.passes * cmv.area * unit.forward,
        "fiftyone": unit.map * int(counts.clip(upper=fiftyone.EACH).sum())
        if FIFTYONE in manifest.report.formats
        else 0.0,
        "report": sum(formats.get(name, 0.1) for name in manifest.report.formats),
    }


def _bank(session: Session) -> int:
    """Backgrounds that will be kept for swaps."""
    if not session.has_foregrounds:
        return 0
    counts = session.table["label"].value_counts()
    return int(counts.clip(upper=session.manifest.interventions.bank).sum())


def bank_bytes(session: Session) -> int:
    """Disk that the backgrounds of swaps take while the run lasts; others write parts first."""
    side, here = session.model.geometry.size, session.manifest.run.runner.kind == "threads"
    return _bank(session) * 3 * side**2 * (1 if here else 2)


def _pictures(session: Session) -> int:
    section = session.manifest.cmv
    if not session.saliency.differentiable:
        return 0
    found = int(session.table["label"].nunique())
    classes = {"all": found, "none": 0, "suspect": 1 + found // 10}
    count = len(section.classes) if isinstance(section.classes, tuple) else classes[section.classes]
    return count * len(section.recipes) * len(section.objectives)


def disk_bytes(session: Session) -> int:
    """Disk that a run takes at most: backgrounds, scores, pictures, reports."""
    side = session.manifest.cmv.size or session.model.geometry.size
    classes = int(session.table["label"].nunique())
    return (
        bank_bytes(session)
        + 2 * _ROW_BYTES * len(session.table)
        + _EXHIBITS * _EXHIBIT_BYTES * classes
        + 2 * 3 * side**2 * _pictures(session)
        + 10 * 2**20
    )


def memory_bytes(session: Session, unit: UnitCosts, cmv: CmvWork) -> int:
    """Main memory that a run takes at most, with its decoding children and Prefect's server.

    It is what the trial took, and beyond it a whole batch, or all pictures that climb at once.

    Parameters
    ----------
    session : Session
        On which a trial was made.
    unit, cmv
        See :func:`seconds_a_step`.
    """
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    images, climbing = 0, 0
    if session.model.device.type == "cpu":
        images = session.batch_size() * 3 * session.model.geometry.size**2 * 4 * _COPIES
        climbing = round(cmv.at_once * cmv.area * unit.kept_bytes * _CLIMBING)
    children = session.loader.workers * _CHILD_BYTES
    return mine + max(images, climbing) + children + _PREFECT_BYTES


def device_bytes(session: Session) -> int:
    """Memory of the GPU that the trial took; 0 on a CPU."""
    device = session.model.device
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def check_room(session: Session, folder: Path) -> None:
    """Refuse a disk on which the run would not end.

    Parameters
    ----------
    session : Session
        Opened.
    folder : Path
        Of the run, or one above it.

    Raises
    ------
    RunFolderError
        Too few bytes are free, or the disk takes no more files.
    """
    found, needed = os.statvfs(folder), disk_bytes(session)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise RunFolderError(
            f"{folder}: the run needs about {needed / 2**20:,.0f} MiB of disk and "
            f"{free / 2**20:,.0f} MiB are free. Make room, choose another --out, or lower "
            "interventions.bank."
        )
    if found.f_files and found.f_favail < _FEWEST_FILES:
        raise RunFolderError(
            f"{folder}: the disk takes only {found.f_favail} more files (no inodes). Remove some "
            "files, or choose another --out."
        )
