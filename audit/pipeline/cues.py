"""The cues of suspect classes as files: looked for once, kept over resumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from audit.cues.class_contrast import contrast_maps
from audit.cues.find import Crop, Cue, Search
from audit.cues.find import find_cues as search_cues
from audit.cues.induction import Photographs, gather_photographs, induce
from audit.findings import (
    AffectedClass,
    ContrastMaps,
    CueCluster,
    CueCrop,
    CueDonor,
    CueDonors,
    Cues,
    CueTrial,
    Estimate,
    Rate,
    made_before,
    write_index,
)
from audit.interventions import FILLS, removal_mask
from audit.measuring.plan import Workbench
from audit.pipeline.cue_plans import CuePlan, plans
from audit.pipeline.decide import Decided
from audit.pipeline.drawn_parts import drawn, forget_parts, gathered, part_file
from audit.pipeline.progress import SILENT, Progress, counted
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.pixels import to_float, to_picture
from audit.report.overlays import overlay, to_png
from audit.run_folder import RunFolder, file_slug
from audit.verdicts.rates import wilson
from audit.verdicts.statistics import bootstrap_mean
from audit.writing import write_bytes

_CROP_SIDE = 96


def find_cues(
    session: Session,
    decided: Decided,
    progress: Progress = SILENT,
    runner: StepRunner = SEQUENTIAL,
) -> int:
    """Look for what in the background the suspect classes lean on; returns for how many."""
    if not decided.suspects:
        return 0
    run = session.run
    cue_plans = plans(session, pd.read_parquet(run.scores), decided.suspects)
    entries = _kept(run, cue_plans)
    missing = [plan for plan in cue_plans if plan.label not in entries]
    if missing:
        with counted(progress, "cues", "classes", len(missing)):
            runner.run_parts("cues", look_for, session, progress, dict.fromkeys(missing, 1))
        made = gathered([_part(session, plan) for plan in missing], Cues, "cues")
        entries |= {entry.label: entry for entry in made}
        write_index(run.cues / "index.json", [entries[plan.label] for plan in cue_plans])
    forget_parts(run.cues)
    return len(entries)


def look_for(session: Session, plan: CuePlan, progress: Progress = SILENT) -> bool:
    """Look for the cues of one class, unless that is done; returns whether it was done now."""
    path = _part(session, plan)
    is_new = drawn(session.run, path, Cues, _pictures_of) is None
    if is_new:
        with session.workbench() as bench:
            write_index(path, [_look(session, plan, bench)])
    progress.advance("cues, classes", 1)
    return is_new


def _part(session: Session, plan: CuePlan) -> Path:
    return part_file(session.run.cues, f"{plan.label:04d}", session.key, plan.key)


def _kept(run: RunFolder, plans: Sequence[CuePlan]) -> dict[int, Cues]:
    """The entries of ``cues/index.json`` that still hold, with all their pictures, by label."""
    keys = {plan.key for plan in plans}
    return {
        entry.label: entry
        for entry in made_before(run.cues / "index.json", Cues)
        if entry.key in keys and all((run.path / path).exists() for path in _pictures_of(entry))
    }


def _pictures_of(entry: Cues) -> list[str]:
    paths = [crop.path for cluster in entry.clusters for crop in cluster.crops]
    paths += [donor.path for donor in entry.donors.shown if donor.path]
    maps = entry.contrast_maps
    return paths + [p for p in ((maps.image, maps.towards, maps.away) if maps else ()) if p]


def _look(session: Session, plan: CuePlan, bench: Workbench) -> Cues:
    search = search_cues(plan.rows, plan.rows_elsewhere, plan.label, bench)
    return Cues(
        label=plan.label,
        label_name=plan.name,
        key=plan.key,
        contrast_class=plan.contrast_name,
        images=search.images,
        contrast_images=search.images_elsewhere,
        features=search.source,
        notes=search.notes,
        clusters=_clusters(session, plan, search, bench),
        donors=_donors(session, plan, bench),
        contrast_maps=_contrast_maps(session, plan, bench),
    )


def _clusters(
    session: Session, plan: CuePlan, search: Search, bench: Workbench
) -> tuple[CueCluster, ...]:
    """The cues, first what raises the class most where it is pasted, then the most frequent."""
    targets = gather_photographs(plan.targets, bench) if search.cues else None
    same = plan.lenders == plan.targets
    lenders = targets if same or targets is None else gather_photographs(plan.lenders, bench)

    def crop(group: int, shown: Crop) -> CueCrop:
        path = _write(session.run, plan, f"cue-{group}-{shown.row:07d}", _enlarged(shown.pixels))
        sample_id = session.table["sample_id"].loc[shown.row]
        return CueCrop(path=path, sample_id=sample_id, share=shown.share)

    def trial(cue: Cue, *, all_over: bool) -> CueTrial | None:
        if targets is None or lenders is None:
            return None
        return _trial(cue, targets, lenders, plan, bench, all_over=all_over)

    clusters = [
        CueCluster(
            seen=_rate(cue.seen, search.images),
            contrast=_rate(cue.seen_elsewhere, search.images_elsewhere),
            crops=tuple(crop(group, shown) for shown in cue.crops),
            sample_ids=tuple(session.table["sample_id"].loc[list(cue.rows)]),
            trial=trial(cue, all_over=False),
            trial_all_over=trial(cue, all_over=True),
        )
        for group, cue in enumerate(search.cues)
    ]
    return tuple(sorted(clusters, key=lambda cluster: cluster.effect, reverse=True))


def _trial(
    cue: Cue,
    targets: Photographs,
    lenders: Photographs,
    plan: CuePlan,
    bench: Workbench,
    *,
    all_over: bool,
) -> CueTrial | None:
    """Put a cue to the test; None where no photograph shows its windows."""
    found = induce(cue.crops, targets, lenders, plan.label, bench, all_over=all_over)
    count = len(found.raised)
    if not count or not plan.lead > 0:
        return None
    raised = bootstrap_mean(found.raised / plan.lead, bench.plan.seed)
    return CueTrial(
        became=_rate(int(found.became.sum()), count),
        control=_rate(int(found.became_control.sum()), count),
        raised=Estimate(value=raised.value, low=raised.low, high=raised.high),
        target_class=plan.target_name,
    )


def _rate(hits: int, trials: int) -> Rate:
    low, high = wilson(hits, trials)
    return Rate(hits=hits, trials=trials, low=low, high=high)


def _donors(session: Session, plan: CuePlan, bench: Workbench) -> CueDonors:
    """The backgrounds that turn most objects, as the swaps used them."""
    found, pictures = plan.donors, _backgrounds(session, plan, bench)
    sample_ids, turned = session.table["sample_id"], plan.donors.affected
    return CueDonors(
        became=_rate(found.became, found.swaps),
        affected=None
        if turned is None
        else AffectedClass(
            label_name=session.class_names[turned.index],
            became=_rate(turned.became, turned.swaps),
        ),
        tried=found.tried,
        shown=tuple(
            CueDonor(
                path=pictures.get(donor.index),
                sample_id=sample_ids.loc[donor.index],
                became=_rate(donor.became, donor.swaps),
            )
            for donor in found.donors
        ),
    )


def _backgrounds(session: Session, plan: CuePlan, bench: Workbench) -> dict[int, str]:
    """Draw the donors' backgrounds; returns their paths by row."""
    rows = sorted(donor.index for donor in plan.donors.donors)
    fill = FILLS[bench.plan.fill]
    pictures: dict[int, str] = {}
    for batch in bench.batches(rows):
        if not len(batch):
            continue
        filled = fill(to_float(batch.images), removal_mask(batch.foreground, batch.ignored))
        for row, picture in zip(batch.rows, filled, strict=True):
            pictures[row] = _write(session.run, plan, f"donor-{row:07d}", to_picture(picture))
    return pictures


def _contrast_maps(session: Session, plan: CuePlan, bench: Workbench) -> ContrastMaps | None:
    """The image with the lowest margin, and what in it speaks for which of the two classes."""
    if plan.hardest is None or plan.contrast is None:
        return None
    batch = next(bench.batches([plan.hardest]))
    if not len(batch):
        return None
    towards, away = contrast_maps(bench.model, batch, bench.plan, plan.label, plan.contrast)
    image = to_picture(batch.images[0])
    mask = batch.foreground[0].numpy()
    drawn = {"image": image}
    for name, saliency in (("towards", towards[0]), ("away", away[0])):
        # A blank map means that nothing speaks this way; it is said, not drawn.
        if bool((saliency > 0).any()):
            drawn[name] = overlay(image, saliency.numpy(), mask if mask.any() else None)
    paths = {
        name: _write(session.run, plan, f"between-{name}", pixels) for name, pixels in drawn.items()
    }
    return ContrastMaps(
        sample_id=batch.ids[0],
        image=paths["image"],
        towards=paths.get("towards"),
        away=paths.get("away"),
    )


def _enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A small crop, smoothly enlarged: a browser would show blocks or blur as it likes."""
    if min(pixels.shape[:2]) >= _CROP_SIDE:
        return pixels
    large = Image.fromarray(pixels).resize((_CROP_SIDE, _CROP_SIDE), Image.Resampling.BICUBIC)
    return np.asarray(large)


def _write(run: RunFolder, plan: CuePlan, stem: str, pixels: NDArray[np.uint8]) -> str:
    path: Path = run.cues / f"{plan.label:04d}-{file_slug(plan.name)}" / f"{stem}.png"
    write_bytes(path, to_png(pixels))
    return path.relative_to(run.path).as_posix()
