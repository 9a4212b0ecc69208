"""Reader of COCO's instances: one JSON file with images, annotations and categories."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.dataset.json_spans import spans
from audit.dataset.label_rules import check_rule, choose_label
from audit.dataset.paths import PathResolver, found_there
from audit.dataset.samples import Annotation, Box, Remark, Sample, Skipped
from audit.dataset.segments import area_of, is_crowd
from audit.dataset.shapes import number
from audit.errors import DatasetError, SampleError

_USUAL = (
    *("annotations/instances*.json", "*_annotations.coco.json", "*/_annotations.coco.json"),
    *("annotations/*.json", "*.json"),
)


def coco(
    root: Path,
    *,
    annotations: str | None = None,
    images: str | None = None,
    label: str = "largest",
    classes: Sequence[str] | None = None,
    follow_links: bool = False,
) -> Iterator[Sample | Skipped | Remark]:
    """Read images and instances of a COCO file.

    Categories are matched by their names. The outlines of the objects of an image's label are its
    foreground: the source ``coco_segments``, or their boxes with ``bounding_box``.

    Parameters
    ----------
    root : Path
        Folder of the dataset.
    annotations : str, optional
        The JSON file below `root`; None: the only one of the usual names.
    images : str, optional
        Folder of the images below `root`; None: the usual one in which the first image is found.
    label : str
        ``largest``: an image has the class of its largest object; ``only``: images with objects of
        one class; ``listed``: the first of `classes` that it has.
    classes : list of str, optional
        Categories that count; None: all.
    follow_links : bool
        Allow image paths that lead out of the folder of the images.

    Raises
    ------
    DatasetError
        The file or its images are missing, or it is no COCO file; the message names line and
        column where it is no JSON.
    """
    check_rule(label, classes)
    path = _find(root, annotations)
    found = _read(path)
    if not found.images:
        raise DatasetError(
            f"dataset.annotations: {path.name} lists no images; expected COCO's keys images, "
            f"annotations and categories, found {', '.join(sorted(found.keys)) or 'none'}"
        )
    resolver = PathResolver(_image_folder(root, path, images, found), follow_links)
    if unknown := [kind for kind in found.counts if kind not in found.categories]:
        yield Remark(
            f"annotations of no category that {path.name} lists: "
            f"{sum(found.counts[kind] for kind in unknown)}, such as of {unknown[0]!r:.40}; they "
            "count as none"
        )
    seen: set[str] = set()
    waiting = list(reversed(found.images))
    while waiting:
        # There may be millions, and the list of samples grows meanwhile.
        image = found.images.pop(image_id := waiting.pop())
        yield _one(image, found.objects_of(image_id), found, resolver, (label, classes), seen)
    for image_id in list(found.objects):
        detail = f"{len(found.objects_of(image_id))} annotations of an image that is not listed"
        yield Skipped(f"image_id {image_id}", "UNKNOWN_IMAGE", detail)
    yield from found.skipped


@dataclass(slots=True)
class _Object:
    """One annotation, without its outline."""

    category: Hashable
    area: float
    is_crowd: bool
    box: Box | None
    span: tuple[int, int]
    is_outlined: bool


@dataclass(frozen=True, slots=True)
class _Image:
    """One image: its name below the folder, and its width and height where they are known."""

    name: str
    size: tuple[int, int] | None


@dataclass
class _Found:
    """What a file holds."""

    path: Path
    keys: set[str] = field(default_factory=set)
    images: dict[Hashable, _Image] = field(default_factory=dict)
    categories: dict[Hashable, str] = field(default_factory=dict)
    objects: dict[Hashable, bytearray] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    counts: dict[Hashable, int] = field(default_factory=dict)
    """Annotations by category."""

    def add(self, image_id: Hashable, one: _Object) -> None:
        """Keep one annotation of an image as bytes: a million Python objects take a gigabyte."""
        self.counts[one.category] = self.counts.get(one.category, 0) + 1
        if (kind := self._kinds.setdefault(one.category, len(self._kinds))) == len(self._known):
            self._known.append(one.category)
        told = (one.is_crowd, one.is_outlined, one.area, *(one.box or _NO_BOX), *one.span)
        self.objects.setdefault(image_id, bytearray()).extend(_FORM.pack(kind, *told))

    def objects_of(self, image_id: Hashable) -> list[_Object]:
        """Take the annotations of an image, which are given once."""
        packed = self.objects.pop(image_id, bytearray())
        return [self._unpacked(*told) for told in _FORM.iter_unpack(packed)]

    def _unpacked(self, kind: int, crowd: bool, outlined: bool, area: float, *rest: Any) -> _Object:
        x0, y0, x1, y1, start, length = rest
        box = None if x0 == math.inf else (x0, y0, x1, y1)
        return _Object(self._known[kind], area, crowd, box, (start, length), outlined)

    _kinds: dict[Hashable, int] = field(default_factory=dict)
    _known: list[Hashable] = field(default_factory=list)


_FORM = struct.Struct("<i??d4dqq")
_NO_BOX = (math.inf,) * 4
"""What no file holds: a number that is not finite is NaN here."""


def _find(root: Path, annotations: str | None) -> Path:
    if annotations is not None:
        if not (root / annotations).is_file():
            there = found_there(root, "*.json")
            raise DatasetError(
                f"dataset.annotations: no file {annotations} in {root}; {there}. Write the path of "
                "the annotations below dataset.root."
            )
        return root / annotations
    if root.is_file():
        return root
    for pattern in _USUAL:
        found = sorted(root.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(str(path.relative_to(root)) for path in found[:6])
            raise DatasetError(f"dataset.annotations: expected one of {names}; name it")
    raise DatasetError(
        f"dataset.annotations: no {_USUAL[0]} and no other .json in {root}; name the file"
    )


def _read(path: Path) -> _Found:
    found = _Found(path)
    for key, value, start, length in spans(path):
        found.keys.add(key)
        if key not in ("images", "annotations", "categories"):
            continue
        try:
            if key == "images":
                _add_image(found, value)
            elif key == "categories":
                found.categories[value["id"]] = str(value["name"])
            else:
                found.add(_identity(value["image_id"]), _object(value, (start, length)))
        except (KeyError, TypeError) as error:
            detail = f"no {key} of COCO: {type(error).__name__} {error}; found {value!r:.80}"
            found.skipped.append(Skipped(f"{path.name}, byte {start}", "BAD_ENTRY", detail))
    return found


def _add_image(found: _Found, value: Mapping[str, object]) -> None:
    name = value["file_name"]
    if not isinstance(name, str):
        raise TypeError("file_name is no text")
    image_id = _identity(value["id"])
    if image_id in found.images:
        found.skipped.append(Skipped(name, "DUPLICATE_ID", f"the id {image_id!r:.40} again"))
        return
    width, height = _side(value.get("width")), _side(value.get("height"))
    found.images[image_id] = _Image(name, (width, height) if width and height else None)


def _side(value: object) -> int | None:
    """A number of pixels; None for everything else that JSON can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _identity(value: object) -> Hashable:
    """What can be a key; a list or mapping in its place is a TypeError."""
    hash(value)
    return value


def _object(value: Mapping[str, object], span: tuple[int, int]) -> _Object:
    return _Object(
        _identity(value["category_id"]),
        area_of(value),
        is_crowd(value),
        _corners(value.get("bbox")),
        span,
        bool(value.get("segmentation")),
    )


def _corners(box: object) -> Box | None:
    """A box as corners; of NaN where there is one that is none, since an object is there."""
    if not box:
        return None
    numbers = [number(v) for v in box] if isinstance(box, list) else []
    known = [v for v in numbers if v is not None]
    if len(numbers) != 4 or len(known) != 4:
        return (math.nan, math.nan, math.nan, math.nan)
    x, y, width, height = known
    return (x, y, x + width, y + height)


def _image_folder(root: Path, path: Path, images: str | None, found: _Found) -> Path:
    if images is not None:
        if not (root / images).is_dir():
            raise DatasetError(
                f"dataset.images: no folder {images} in {root}; {found_there(root, '*/')}. Write "
                "the folder that the file names are relative to, below dataset.root."
            )
        return root / images
    start = path.parent if root.is_file() else root
    split = path.stem.removeprefix("instances_")
    names = [image.name for image in list(found.images.values())[:20]]
    tried = [start / part for part in ("", "images", split, f"images/{split}", "data")]
    tried += [path.parent, path.parent / "images", path.parent / split, path.parent / "data"]
    for folder in tried:
        if any(os.path.isfile(folder / name) for name in names):
            return folder
    raise DatasetError(
        f"dataset.images: {names[0]!r:.100} and other images of {path.name} are in none of the "
        "usual folders; name theirs"
    )


def _one(
    image: _Image,
    objects: list[_Object],
    found: _Found,
    resolver: PathResolver,
    rule: tuple[str, Sequence[str] | None],
    seen: set[str],
) -> Sample | Skipped:
    """One image and its objects, as a sample."""
    name = image.name
    known = [(found.categories.get(one.category), one) for one in objects]
    single = [(name, one.area) for name, one in known if name is not None and not one.is_crowd]
    crowds = [(name, one.area) for name, one in known if name is not None]
    try:
        path = resolver.find(name)
        if not objects:
            raise SampleError("NO_ANNOTATION", "no annotation names this image")
        label = choose_label(single or crowds, *rule)
    except SampleError as error:
        return Skipped(name.replace("\0", "?"), error.reason, error.detail)
    tidy = Path(name).as_posix()
    # Not a second text of each.
    sample_id = name if tidy == name else tidy
    if sample_id in seen:
        return Skipped(name, "DUPLICATE_IMAGE", "listed before under another id", label)
    seen.add(sample_id)
    own = [one for category, one in known if category == label]
    boxes = tuple(one.box for one in own if one.box is not None and not one.is_crowd)
    outlines = None
    # A file for detection has boxes alone.
    if image.size and boxes:
        outlines = Annotation("bounding_box", found.path, (), (), image.size)
    if any(one.is_outlined for one in own):
        spans = tuple(one.span for one in own)
        outlines = Annotation("coco_segments", found.path, spans, (), image.size)
    return Sample(sample_id, path, label, None, boxes, {}, outlines)
