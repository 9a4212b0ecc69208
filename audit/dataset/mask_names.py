"""How the mask of an image is named: the ways in use, or a pattern of the user's."""

from __future__ import annotations

import glob
import itertools
import string
from collections.abc import Iterator
from pathlib import Path

from audit.dataset.samples import Sample
from audit.errors import ManifestError

ENDINGS = (".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
STEMS = (
    "{stem}",
    "{stem}_mask",
    "{stem}-mask",
    "{stem}.mask",
    "{stem}_segmentation",
    "{stem}_seg",
    "{stem}_label",
    "{stem}_gt",
    "{stem}_matte",
    "mask_{stem}",
    "{name}",
)
_FIELDS = ("stem", "name", "class")


def check_pattern(pattern: object) -> None:
    """Refuse a pattern that cannot name a mask.

    Raises
    ------
    ManifestError
        It is no text; it has an unknown field, or none at all, so that all images would share one
        mask.
    """
    for one in pattern if isinstance(pattern, list) else [] if pattern is None else [pattern]:
        if not isinstance(one, str):
            raise ManifestError(
                f"foreground.pattern: expected a name such as '{{stem}}_mask.png', found {one!r}"
            )
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(one) if name is not None]
        except ValueError as error:
            raise ManifestError(
                f"foreground.pattern: {one!r} is no pattern ({error}). Expected one such as "
                "'{stem}_mask.png'."
            ) from error
        if not {"stem", "name"} & set(fields) or not set(fields) <= set(_FIELDS):
            raise ManifestError(
                "foreground.pattern: expected a name with {stem} (the image's name without its "
                "ending) or {name}, and perhaps {class}, such as '{stem}_mask.png'; found "
                f"{one!r}"
            )


def mask_paths(sample: Sample, root: Path | None, pattern: str | list[str] | None) -> list[Path]:
    """Find the mask files of a sample; several where an object has a file each.

    Parameters
    ----------
    sample : Sample
        Its own `mask` is taken where it has one.
    root : Path, optional
        Folder of the masks, laid out like the images; None: beside the images.
    pattern : str or list of str, optional
        Names to try, with ``{stem}``, ``{name}`` and ``{class}``, and ``*`` for several files. One
        with a ``/`` begins at `root`; others in the image's own folder below it. None: the names
        in use (:data:`STEMS` x :data:`ENDINGS`).

    Returns
    -------
    list of Path
        Of the first name that exists; empty where none does. Never the image itself.
    """
    if sample.mask is not None:
        return [sample.mask] if sample.mask.exists() else []
    start = sample.path.parent if root is None else root
    folder = start if root is None else root / Path(sample.sample_id).parent
    # Beside the images a.png may be another image than a.jpg.
    for name in _names(sample, pattern, STEMS if root else STEMS[1:]):
        found = _matching((start if "/" in name else folder) / name)
        if found := [path for path in found if path != sample.path]:
            return found
    return []


def is_mask_name(name: str, names: frozenset[str]) -> bool:
    """Tell the mask that lies beside its image, by name, such as ``a_mask.png`` beside ``a.jpg``.

    Parameters
    ----------
    name : str
        Of a file.
    names : frozenset of str
        Stems of all images in its folder.

    Examples
    --------
    >>> is_mask_name("a_mask.png", frozenset({"a", "a_mask"}))
    True
    >>> is_mask_name("gas_mask.png", frozenset({"gas_mask", "helmet"}))
    False
    """
    stem = Path(name).stem
    head, _, number = stem.rpartition("_mask")
    return bool(head) and head in names and (not number or number.lstrip("_").isdigit())


def _listed(pattern: str | list[str] | None) -> list[str]:
    return [pattern] if isinstance(pattern, str) else list(pattern or ())


def _names(
    sample: Sample, pattern: str | list[str] | None, stems: tuple[str, ...]
) -> Iterator[str]:
    path = Path(sample.sample_id)
    fields = {"stem": path.stem, "name": path.name, "class": sample.label_name}
    if pattern is not None:
        escaped = {name: glob.escape(value) for name, value in fields.items()}
        for one in _listed(pattern):
            yield one.format(**(escaped if "*" in one else fields))
        return
    for stem, ending in itertools.product(stems, ENDINGS):
        yield stem.format(**fields) + ending


def _matching(path: Path) -> list[Path]:
    if "*" in path.name:
        return sorted(path.parent.glob(path.name))
    if not path.exists():
        return []
    if not path.stem.endswith("mask"):
        return [path]
    # BUSI and others number the masks of further objects.
    further = (path.with_stem(f"{path.stem}_{number}") for number in itertools.count(1))
    return [path, *itertools.takewhile(Path.exists, further)]
