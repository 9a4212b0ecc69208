"""Reader of COCO's instances: one JSON file with images, annotations and categories."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from audit.dataset.coco_file import CocoFile, CocoImage, CocoObject, read_coco_file
from audit.dataset.label_rules import check_rule, choose_label
from audit.dataset.paths import PathResolver, found_there, tidy
from audit.dataset.samples import Annotation, Remark, Sample, Skipped
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
    found = read_coco_file(path)
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
    # Not of all names: those of a million images are not kept while the list of samples grows.
    names = Counter(tidy(image.name) for image in found.images.values())
    unseen = {name: True for name, count in names.items() if count > 1}
    del names
    waiting = list(reversed(found.images))
    while waiting:
        # There may be millions, and the list of samples grows meanwhile.
        image = found.images.pop(image_id := waiting.pop())
        yield _one(image, found.objects_of(image_id), found, resolver, (label, classes), unseen)
    for image_id, count in found.objects_left():
        detail = f"{count} annotations of an image that is not listed"
        yield Skipped(f"image_id {image_id}", "UNKNOWN_IMAGE", detail)
    yield from found.skipped


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


def _image_folder(root: Path, path: Path, images: str | None, found: CocoFile) -> Path:
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
    image: CocoImage,
    objects: list[CocoObject],
    found: CocoFile,
    resolver: PathResolver,
    rule: tuple[str, Sequence[str] | None],
    unseen: dict[str, bool],
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
    if not unseen.get(sample_id := tidy(name), True):
        return Skipped(name, "DUPLICATE_IMAGE", "listed before under another id", label)
    if sample_id in unseen:
        unseen[sample_id] = False
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
