"""What `check` says: what would go wrong later, with a remedy, and what will be missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from audit.dataset.batches import Batch
from audit.measuring.backgrounds import MAX_HOLE
from audit.pipeline.class_checks import ClassCheck
from audit.pipeline.masks import mask_sentences
from audit.pipeline.methods import NO_CMVS, described
from audit.pipeline.publish import unreachable_because
from audit.pipeline.session import Session
from audit.pipeline.trial import Trial, blank
from audit.report.formatting import share

_LOW_ACCURACY = 0.3
_LARGE = 0.6
_SMALL = 0.01
_NAMED = 5
_WITHOUT = (
    "no background can be exchanged, so no class is judged (all end inconclusive); the report has "
    "accuracy, confusions, maps and class pictures"
)


def notes(
    session: Session, batch: Batch, trial: Trial, classes: Sequence[ClassCheck]
) -> Iterator[str]:
    """Say what would go wrong, or already has."""
    yield from session.remarks
    yield from _counts(session, batch, classes)
    if session.saliency.reason is not None:
        yield f"saliency.method: {described(session.saliency)}"
    if not session.saliency.differentiable and session.manifest.cmv.classes != "none":
        yield f"cmv: {NO_CMVS}"
    if unreachable := unreachable_because(session.manifest.report.publish):
        yield f"report.publish: {unreachable}; the run would keep its reports to itself"
    yield from _outlines(session, batch, classes)
    yield from _answers(session, batch, trial, classes)


def limits(session: Session, classes: Sequence[ClassCheck], trial: Trial) -> Iterator[str]:
    """Say what the audit cannot find out as things are."""
    if not session.has_foregrounds:
        yield f"no foregrounds: {_WITHOUT}"
        return
    without = [c.label_name for c in classes if c.outlined == 0]
    # What a few images lack the others may have.
    doubtful = [c for c in classes if c.outlined != 0 and _none_usable(c)]
    if len(without) + len(doubtful) == len(classes):
        yield f"no image tried has a usable foreground: {_WITHOUT}"
    elif without:
        yield (
            f"{_some(without)}: without usable foregrounds, so inconclusive; the other classes are "
            "judged, and the run ends as incomplete (exit code 4)"
        )
    elif not doubtful and not trial.swapped:
        yield "no image met the background of another class: that takes two classes with outlines"
    if doubtful and len(without) + len(doubtful) < len(classes):
        tried = sum(c.tried - c.unreadable for c in doubtful)
        yield (
            f"{_some([c.label_name for c in doubtful])}: most or all of the {tried} images tried "
            "have no usable foreground (it is missing, or leaves no background); where the others "
            "have none either, a class ends inconclusive"
        )
    few = [c.label_name for c in classes if c.images < session.manifest.verdict.minimum_images]
    if few and len(few) == len(classes):
        yield "every class has too few images for a verdict, so all end inconclusive"


def _none_usable(checked: ClassCheck) -> bool:
    readable = checked.tried - checked.unreadable
    return readable > 0 and (checked.with_foreground == 0 or (checked.area or 0.0) > MAX_HOLE)


def _counts(session: Session, batch: Batch, classes: Sequence[ClassCheck]) -> Iterator[str]:
    minimum = session.manifest.verdict.minimum_images
    for found in classes:
        if found.images < minimum:
            yield (
                f"{found.label_name}: {found.images} of the {minimum} images that a verdict needs; "
                "add some, or lower verdict.minimum_images"
            )
    if len(classes) < 2:
        yield "one class only: no background of another class can be tried; name more classes"
    empty = sorted({s.label_name for s in session.skipped if s.reason == "EMPTY_CLASS"})
    if empty:
        yield f"{_some(empty)}: no image; remove the folder or fill it"
    left_out = Counter(s.reason for s in session.skipped if s.reason != "EMPTY_CLASS")
    if left_out:
        yield (
            f"{sum(left_out.values())} entries left out ({_reasons(left_out)}); problems.csv of a "
            "run names each"
        )
    if batch.unreadable:
        why = Counter(error.reason for _, error in batch.unreadable)
        yield (
            f"{len(batch.unreadable)} of {len(batch) + len(batch.unreadable)} images tried cannot "
            f"be read ({_reasons(why)}): {batch.unreadable[0][1]}; below "
            f"{share(session.manifest.run.min_coverage)} of a class the run is incomplete"
        )


def _outlines(session: Session, batch: Batch, classes: Sequence[ClassCheck]) -> Iterator[str]:
    if not session.has_foregrounds:
        yield "no foregrounds: give foreground.source masks, boxes, or `estimated`"
        return
    counted = [c for c in classes if c.outlined is not None]
    missing = sum(c.images - (c.outlined or 0) for c in counted)
    if missing:
        yield (
            f"{missing} of {sum(c.images for c in counted)} images bring no outline; "
            "see foreground.root and foreground.pattern"
        )
    yield from mask_sentences(batch, session.source)
    found, images = sum(c.with_foreground for c in classes), len(batch)
    if found < images:
        problems = Counter(
            one.foreground_problem.partition(":")[0] or "NO_FOREGROUND"
            for one, has_foreground in zip(
                batch.loaded, batch.foreground.flatten(1).any(1), strict=True
            )
            if not has_foreground
        )
        yield f"{images - found} of {images} images tried have no foreground ({_reasons(problems)})"
    for large, (bound, word) in ((True, (_LARGE, "fills")), (False, (_SMALL, "covers only"))):
        odd = [
            c
            for c in classes
            if c.area is not None and (c.area > bound if large else c.area < bound)
        ]
        if odd:
            shown = ", ".join(f"{c.label_name} {share(c.area)}" for c in odd[:_NAMED])
            remedy = (
                "little background is left to exchange; are boxes drawn where masks are meant, or "
                "mask values inverted?"
                if large
                else "is the mask of the object, and in the image's own size?"
            )
            yield f"the object {word} much or little of the crop ({shown}): {remedy}"


def _answers(
    session: Session, batch: Batch, trial: Trial, classes: Sequence[ClassCheck]
) -> Iterator[str]:
    accuracy = sum(trial.right) / max(1, len(batch))
    if accuracy < _LOW_ACCURACY:
        yield (
            f"the model is right on {share(accuracy)} of {len(batch)} images only: "
            "are model.classes and model.input those it was trained with?"
        )
    else:
        never = [c.label_name for c in classes if c.tried - c.unreadable >= _NAMED and not c.right]
        if never:
            yield f"{_some(never)}: never answered rightly; is the name that of the right output?"
    if blank(trial.rows):
        yield (
            f"{blank(trial.rows)} of {len(trial.rows)} maps tried are blank; try another "
            "saliency.method, such as gradient"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
