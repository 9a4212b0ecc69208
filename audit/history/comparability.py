"""Whether two runs may be laid side by side, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from audit.findings import Code, Comparability, Reason, RunFacts

_SAME_MEASURE = ("foreground source", "fill", "donors per image")
"""Settings without which a gap is another quantity."""
_SAME_VIEW = ("input side", "resize", "crop", "interpolation")
"""Settings without which the same file is another image to the model."""


def comparability(
    earlier: RunFacts, later: RunFacts, *, common_images: int, other_masks: int = 0
) -> tuple[Comparability, tuple[Reason, ...]]:
    """Say whether two runs are paired, unpaired or not comparable, and why.

    Parameters
    ----------
    earlier, later : RunFacts
        Of the two.
    common_images : int
        Measured in both, by content, class and foreground.
    other_masks : int
        Measured in both with another foreground.

    Returns
    -------
    Comparability, tuple of Reason
        The reasons say what differs; empty for the same model on the same images.
    """
    barred = list(_barred(earlier, later))
    if barred:
        return Comparability.NOT_COMPARABLE, tuple(barred)
    apart = list(_apart(earlier, later, common_images))
    notes = []
    if other_masks:
        notes.append(Reason(code=Code.MASKS_DIFFER, values={"images": other_masks}))
    if earlier.hashes.model != later.hashes.model:
        notes.append(Reason(code=Code.MODEL_DIFFERS))
    word = Comparability.UNPAIRED if apart else Comparability.PAIRED
    return word, (*apart, *notes)


def _barred(earlier: RunFacts, later: RunFacts) -> Iterator[Reason]:
    if "none" in (earlier.foreground_source, later.foreground_source):
        yield Reason(code=Code.RUNS_WITHOUT_FOREGROUNDS)
        return
    if not set(earlier.labels.values()) & set(later.labels.values()):
        yield Reason(code=Code.NO_COMMON_CLASS)
    yield from _differing(earlier.settings, later.settings, _SAME_MEASURE)


def _apart(earlier: RunFacts, later: RunFacts, common_images: int) -> Iterator[Reason]:
    if not common_images:
        yield Reason(code=Code.NO_COMMON_IMAGE)
    if earlier.seed != later.seed:
        yield _setting("seed", earlier.seed, later.seed)
    yield from _differing(earlier.settings, later.settings, _SAME_VIEW)


def _differing(
    earlier: Mapping[str, object], later: Mapping[str, object], keys: tuple[str, ...]
) -> Iterator[Reason]:
    for key in keys:
        before, now = earlier.get(key), later.get(key)
        if before != now:
            yield _setting(key, before, now)


def _setting(key: str, before: object, now: object) -> Reason:
    return Reason(
        code=Code.SETTING_DIFFERS,
        values={"setting": key, "earlier": str(before), "later": str(now)},
    )
