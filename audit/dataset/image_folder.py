"""Reader of the usual layout: one folder a class, images anywhere below it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from audit.dataset.layouts import advice, are_wordnet
from audit.dataset.mask_names import is_mask_name
from audit.dataset.samples import Remark, Sample, Skipped
from audit.errors import DatasetError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"}
    | {".bmp", ".dib", ".gif", ".tif", ".tiff", ".avif"}
)
_JUNK = re.compile(r"^\.|^__MACOSX$|^Thumbs\.db$|^desktop\.ini$", re.IGNORECASE)


def image_folder(root: Path, *, follow_links: bool = False) -> Iterator[Sample | Skipped | Remark]:
    """Read ``root/<class>/**/<image>``.

    Classes come in the order of their names, images in the order of their paths. Hidden files,
    AppleDouble twins and checkpoint folders are ignored and counted; every file with another
    ending than an image's is listed as skipped, and so is a mask beside its image (``a_mask.png``
    beside ``a.png``).

    Parameters
    ----------
    root : Path
        Folder of the class folders.
    follow_links : bool
        Follow symbolic links out of `root`; inside it they are followed, each file once.

    Raises
    ------
    DatasetError
        There is no such folder, or no class folder in it.
    """
    if not root.is_dir():
        raise DatasetError(f"dataset.root: no such folder: {root}")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not _JUNK.match(p.name))
    names = [folder.name for folder in folders]
    if not folders or advice(root, names):
        hint = advice(root, names) or "For a list of images use dataset.reader: csv_index."
        found = ", ".join(names[:6]) or "none"
        raise DatasetError(
            f"dataset.root: expected one folder a class in {root}, found {found}. {hint}"
        )
    if are_wordnet(names):
        yield Remark(
            "class folders are WordNet numbers: where model.classes names no classes, they are "
            "numbered in text order, as ImageNet does"
        )
    seen: set[str] = set()
    for folder in folders:
        count = 0
        for item in _walk(folder, root, seen, follow_links):
            count += isinstance(item, Sample)
            yield item
        if not count:
            yield Skipped(folder.name, "EMPTY_CLASS", "the class folder has no image", folder.name)


def _walk(
    folder: Path, root: Path, seen: set[str], follow_links: bool
) -> Iterator[Sample | Skipped]:
    """Everything below one class folder; `seen` holds the real paths met so far."""
    label = folder.relative_to(root).parts[0]
    real = os.path.realpath(folder)
    if real in seen:
        yield Skipped(str(folder.relative_to(root)), "LINK_LOOP", "met before", label)
        return
    if not follow_links and not _inside(real, root):
        detail = "links out of dataset.root; allow it with follow_links: true"
        yield Skipped(str(folder.relative_to(root)), "OUTSIDE_ROOT", detail, label)
        return
    seen.add(real)
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        reason = f"cannot be listed ({error.strerror})"
        yield Skipped(str(folder.relative_to(root)), "UNREADABLE", reason, label)
        return
    stems = frozenset(Path(name).stem for name in names if _is_image_name(name))
    for name in names:
        path = folder / name
        below = str(path.relative_to(root))
        if _JUNK.match(name):
            yield Skipped(below, "IGNORED_FILE", "hidden or system file", label)
        elif path.is_dir():
            yield from _walk(path, root, seen, follow_links)
        elif _is_image_name(name) and is_mask_name(name, stems):
            yield Skipped(below, "MASK_BESIDE_IMAGE", "taken for the mask of its neighbour", label)
        else:
            yield _judge(path, below, label, root, seen, follow_links)


def _judge(
    path: Path, below: str, label: str, root: Path, seen: set[str], follow_links: bool
) -> Sample | Skipped:
    if not _is_image_name(path.name):
        return Skipped(below, "NOT_AN_IMAGE_NAME", "not the ending of an image file", label)
    real = os.path.realpath(path)
    if path.is_symlink():
        if not os.path.exists(real):
            return Skipped(below, "DANGLING_LINK", "links to nothing", label)
        if not follow_links and not _inside(real, root):
            detail = "links out of dataset.root; allow it with follow_links: true"
            return Skipped(below, "OUTSIDE_ROOT", detail, label)
    if real in seen:
        return Skipped(below, "DUPLICATE_LINK", "the same file was met before", label)
    seen.add(real)
    return Sample(sample_id=path.relative_to(root).as_posix(), path=path, label_name=label)


def _is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _inside(real: str, root: Path) -> bool:
    return Path(real).is_relative_to(os.path.realpath(root))
