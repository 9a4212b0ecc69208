"""Reader of the usual layout: one folder a class, images anywhere below it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from audit.dataset.layouts import advice, are_wordnet
from audit.dataset.mask_names import is_mask_name
from audit.dataset.paths import no_folder
from audit.dataset.samples import Remark, Sample, Skipped
from audit.errors import DatasetError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"}
    | {".bmp", ".dib", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"}
)
_JUNK = re.compile(r"^\.|^__MACOSX$|^Thumbs\.db$|^desktop\.ini$", re.IGNORECASE)


def image_folder(root: Path, *, follow_links: bool = False) -> Iterator[Sample | Skipped | Remark]:
    """Read ``root/<class>/**/<image>``.

    Classes come in the order of their names, images in the order of their paths. Hidden files,
    AppleDouble files and checkpoint folders are ignored and counted; every file with another
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
        raise DatasetError(no_folder(root))
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
    walk = _Walk(str(root), follow_links)
    for folder in folders:
        count = 0
        for item in walk.below(str(folder), folder.name, folder.name):
            count += isinstance(item, Sample)
            yield item
        if not count:
            yield Skipped(folder.name, "EMPTY_CLASS", "the class folder has no image", folder.name)


class _Walk:
    """One pass over a dataset's folder; in text and not in paths, since there may be millions.

    Parameters
    ----------
    root : str
        The dataset's folder.
    follow_links : bool
        Whether links out of it are followed.
    """

    def __init__(self, root: str, follow_links: bool) -> None:
        self._real_root = os.path.realpath(root)
        self._follow_links = follow_links
        # The real paths of folders met so far, and of files that links lead to or may lead to.
        self._folders: set[str] = set()
        self._files: set[str] = set()

    def below(self, folder: str, short: str, label: str) -> Iterator[Sample | Skipped]:
        """Everything below a folder; `short` is its path below the root."""
        real = os.path.realpath(folder)
        if real in self._folders:
            yield Skipped(short, "LINK_LOOP", "met before", label)
            return
        if not self._may_enter(real):
            yield Skipped(short, "OUTSIDE_ROOT", _OUTSIDE, label)
            return
        self._folders.add(real)
        try:
            with os.scandir(folder) as opened:
                entries = sorted(opened, key=lambda entry: entry.name)
        except OSError as error:
            yield Skipped(short, "UNREADABLE", f"cannot be listed ({error.strerror})", label)
            return
        images = {entry.name for entry in entries if _is_image_name(entry.name)}
        stems = frozenset(os.path.splitext(name)[0] for name in images)
        for entry in entries:
            name = entry.name
            relative = f"{short}/{name}"
            if _JUNK.match(name):
                yield Skipped(relative, "IGNORED_FILE", "hidden or system file", label)
            elif _leads_to_folder(entry):
                yield from self.below(entry.path, relative, label)
            elif name not in images:
                yield Skipped(
                    relative, "NOT_AN_IMAGE_NAME", "not the ending of an image file", label
                )
            elif "_mask" in name and is_mask_name(name, stems):
                detail = "taken for the mask of its neighbour"
                yield Skipped(relative, "MASK_BESIDE_IMAGE", detail, label)
            else:
                yield self._image(entry, f"{real}/{name}", relative, label)

    def _image(
        self, entry: os.DirEntry[str], real: str, relative: str, label: str
    ) -> Sample | Skipped:
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            if not os.path.exists(real):
                return Skipped(relative, "DANGLING_LINK", "links to nothing", label)
            if not self._may_enter(real):
                return Skipped(relative, "OUTSIDE_ROOT", _OUTSIDE, label)
        if real in self._files:
            return Skipped(relative, "DUPLICATE_LINK", "the same file was met before", label)
        self._files.add(real)
        return Sample(sample_id=relative, path=Path(entry.path), label_name=label)

    def _may_enter(self, real: str) -> bool:
        if self._follow_links or real == self._real_root:
            return True
        return real.startswith(self._real_root.rstrip(os.sep) + os.sep)


_OUTSIDE = "links out of dataset.root; allow it with follow_links: true"


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle.
        return False


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
