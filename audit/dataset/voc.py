"""Reader of PASCAL VOC's layout: an XML file an image, segmentation images beside."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

from audit.dataset.image_folder import IMAGE_SUFFIXES
from audit.dataset.label_rules import check_rule, choose_label
from audit.dataset.paths import PathResolver, found_there
from audit.dataset.samples import Annotation, Box, Sample, Skipped
from audit.dataset.shapes import number
from audit.errors import DatasetError, SampleError

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""The classes of PASCAL VOC, in the order of their pixel values, which begin at 1."""

_LARGEST = 16 * 2**20
_DEEPEST = 32


def voc(
    root: Path,
    *,
    split: str | None = None,
    label: str = "largest",
    classes: Sequence[str] | None = None,
    difficult: bool = False,
    follow_links: bool = False,
) -> Iterator[Sample | Skipped]:
    """Read ``Annotations/*.xml``, ``JPEGImages`` and, where there is one, ``SegmentationClass``.

    Objects' boxes are the foreground (``bounding_box``), or the pixels of the class in the
    segmentation image (``voc_segments``), which is taken by itself where any image has one.

    Parameters
    ----------
    root : Path
        The folder that holds ``Annotations``.
    split : str, optional
        A list of names, such as ``val``: ``ImageSets/Main/val.txt`` or ``Segmentation/val.txt``;
        None: all images with annotations.
    label : str
        ``largest``: an image has the class of its largest object; ``only``: images with objects of
        one class; ``listed``: the first of `classes` that it has.
    classes : list of str, optional
        Classes that count; None: all.
    difficult : bool
        Count objects that are marked as difficult.
    follow_links : bool
        Allow image paths that lead out of `root`.

    Raises
    ------
    DatasetError
        The folder of annotations or the list of the split is missing.
    """
    check_rule(label, classes)
    folder = root / "Annotations"
    if not folder.is_dir():
        raise DatasetError(f"dataset.root: no folder Annotations in {root}; expected VOC's layout")
    images = next((root / n for n in ("JPEGImages", "images") if (root / n).is_dir()), root)
    colours = _colours(root)
    stems = _stems(root, split)
    listed = set(stems)
    for stem in stems:
        try:
            resolver = PathResolver(root, follow_links)
            objects, name, size = _read(folder / f"{stem}.xml")
            counted = [one for one in objects if difficult or not one.is_difficult] or objects
            chosen = choose_label([(one.name, one.area) for one in counted], label, classes)
            image = _image(images, stem, name)
            listed.add(image.stem)
            path = resolver.find(str(image.relative_to(root)))
        except SampleError as error:
            yield Skipped(f"{stem}.xml", error.reason, error.detail)
            continue
        boxes = tuple(one.box for one in counted if one.name == chosen)
        outline = Annotation("bounding_box", folder / f"{stem}.xml", (), (), size) if size else None
        if (segments := root / "SegmentationClass" / f"{stem}.png").exists() and chosen in colours:
            outline = Annotation("voc_segments", segments, (), colours[chosen], size)
        yield Sample(path.name, path, chosen, None, boxes, {}, outline)
    if split is None:
        yield from _without_annotation(images, listed)


def _without_annotation(images: Path, annotated: set[str]) -> Iterator[Skipped]:
    """Images of which no annotation tells; a list of a split means to leave some out."""
    for path in sorted(images.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.stem not in annotated:
            yield Skipped(path.name, "NO_ANNOTATION", f"no file Annotations/{path.stem}.xml")


@dataclass(frozen=True)
class _Object:
    name: str
    box: Box
    is_difficult: bool

    @property
    def area(self) -> float:
        x0, y0, x1, y1 = self.box
        return max(x1 - x0, 0.0) * max(y1 - y0, 0.0)


def colour_of(index: int) -> tuple[int, int, int]:
    """The colour that VOC gives to a pixel value: its bits, spread over the channels.

    Examples
    --------
    >>> colour_of(1), colour_of(15), colour_of(255)
    ((128, 0, 0), (192, 128, 128), (224, 224, 192))
    """
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def _colours(root: Path) -> dict[str, tuple[int, ...]]:
    """Pixel value and colour of each class; ``labelmap.txt`` is how CVAT names its own."""
    found: dict[str, tuple[int, ...]] = {
        name: (index, *colour_of(index)) for index, name in enumerate(CLASSES, 1)
    }
    try:
        lines = (root / "labelmap.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    named = [line.split(":") for line in lines if line.strip() and not line.startswith("#")]
    for index, (name, *rest) in enumerate(named):
        colour = rest[0].split(",") if rest else []
        if len(colour) == 3 and all(part.strip().isdigit() for part in colour):
            found[name] = (index, *map(int, colour))
    return found


def _stems(root: Path, split: str | None) -> list[str]:
    if split is None:
        return sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
    tried = [root / "ImageSets" / kind / f"{split}.txt" for kind in ("Main", "Segmentation")]
    for path in tried:
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            stems = [line.split()[0] for line in lines if line.strip()]
            return [stem for stem in stems if "/" not in stem and "\0" not in stem]
    raise DatasetError(
        f"dataset.split: no list {tried[0].relative_to(root)} or {tried[1].relative_to(root)} in "
        f"{root}; {found_there(root, 'ImageSets/Main/*.txt', 'ImageSets/Segmentation/*.txt')}. "
        "Write a split that is there, or leave it out."
    )


def _read(path: Path) -> tuple[list[_Object], str, tuple[int, int] | None]:
    """Objects of one annotation, the file name that it gives, and the picture's size."""
    try:
        if path.stat().st_size > _LARGEST:
            raise SampleError("TOO_MANY_BYTES", f"an annotation of more than {_LARGEST} bytes")
        tree = parse_xml(path.read_bytes())
    except OSError as error:
        raise SampleError("NO_ANNOTATION", f"cannot be read ({error.strerror})") from error
    objects = []
    for found in tree.findall("object"):
        name = (found.findtext("name") or "").strip()
        corners = [number(_float(found.findtext(f"bndbox/{side}"))) for side in _SIDES]
        if not name or None in corners:
            raise SampleError("BAD_ANNOTATION", f"an object {name!r:.60} without name or box")
        x0, y0, x1, y1 = (value or 0.0 for value in corners)
        # VOC counts pixels from 1, and the last one belongs to the box.
        is_difficult = (found.findtext("difficult") or "").strip() == "1"
        objects.append(_Object(name, (x0 - 1, y0 - 1, x1, y1), is_difficult))
    width, height = (number(_float(tree.findtext(f"size/{side}"))) for side in ("width", "height"))
    # Some tools write a size of 0.
    size = (int(width), int(height)) if width and height and min(width, height) >= 1 else None
    return objects, (tree.findtext("filename") or "").strip(), size


_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _float(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _image(folder: Path, stem: str, name: str) -> Path:
    """The image of an annotation: by its own name, else by the one that is written in it."""
    for suffix in (".jpg", *sorted(IMAGE_SUFFIXES)):
        if (folder / f"{stem}{suffix}").exists():
            return folder / f"{stem}{suffix}"
    if name and "/" not in name and "\0" not in name and (folder / name).exists():
        return folder / name
    raise SampleError("MISSING", f"no image {stem} in {folder.name}")


def parse_xml(content: bytes) -> ET.Element:
    """Parse XML that declares no document type, so that it has no entities to expand.

    Raises
    ------
    SampleError
        No such XML, or nested too deeply.
    """
    builder, depth = ET.TreeBuilder(), 0
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise SampleError("BAD_ANNOTATION", "the XML declares a document type, which is refused")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise SampleError("BAD_ANNOTATION", "the XML is nested too deeply")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise SampleError("BAD_ANNOTATION", f"not valid XML: {error}") from error
    return builder.close()
