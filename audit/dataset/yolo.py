"""Reader of Ultralytics' layout: data.yaml, images/ and labels/ with a line an object."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.dataset.boxes import corners, within_unit
from audit.dataset.image_folder import IMAGE_SUFFIXES
from audit.dataset.label_rules import check_rule, choose_label
from audit.dataset.paths import PathResolver, found_there
from audit.dataset.samples import Annotation, Box, Sample, Skipped
from audit.dataset.shapes import number
from audit.declared import read_declared
from audit.errors import DatasetError, SampleError
from audit.yaml_text import load_yaml

_LARGEST = 16 * 2**20
_NAMES = ("data.yaml", "data.yml", "dataset.yaml")


def yolo(
    root: Path,
    *,
    data: str | None = None,
    split: str | None = None,
    label: str = "largest",
    classes: Sequence[str] | None = None,
    follow_links: bool = False,
) -> Iterator[Sample | Skipped]:
    """Read a YOLO dataset for detection or segmentation.

    Lines of ``class cx cy w h`` are boxes (``bounding_box``), longer ones polygons
    (``yolo_polygons``), which are taken by themselves where there are any.

    Parameters
    ----------
    root : Path
        The folder that holds the YAML file; or that file.
    data : str, optional
        The YAML file; None: ``data.yaml``, or the only one.
    split : str, optional
        ``val``, ``test`` or ``train``; None: the first of these that the file names.
    label : str
        ``largest``: an image has the class of its largest object; ``only``: images with objects of
        one class; ``listed``: the first of `classes` that it has.
    classes : list of str, optional
        Classes that count, by name; None: all.
    follow_links : bool
        Allow image paths that lead out of `root`.

    Raises
    ------
    DatasetError
        The YAML file is missing or says something that cannot be; the split has no images.
    """
    check_rule(label, classes)
    path = _find(root, data)
    found = _yaml(path)
    names = _class_names(found, path)
    has_points = "kpt_shape" in found
    resolver = PathResolver(path.parent, follow_links)
    folders: set[tuple[Path, Path]] = set()
    for image in _images(found, split, path):
        shown = os.path.relpath(image, path.parent)
        try:
            image = resolver.find(shown)
            labels = _labels_of(image)
            folders.add((image.parent, labels.parent))
            objects = _read(labels, names, has_points)
            chosen = choose_label([(one.name, one.area) for one in objects], label, classes)
        except SampleError as error:
            yield Skipped(shown, error.reason, error.detail)
            continue
        own = [one for one in objects if one.name == chosen]
        polygons = tuple(one.span for one in own if one.is_polygon)
        outline = Annotation("yolo_polygons", labels, polygons) if polygons else None
        boxes = tuple(one.box for one in own)
        yield Sample(Path(shown).as_posix(), image, chosen, None, boxes, {}, outline)
    for pair in sorted(folders):
        yield from _without_image(*pair, path.parent)


def _without_image(images: Path, labels: Path, root: Path) -> Iterator[Skipped]:
    """Label files that belong to no image."""
    if not labels.is_dir():
        return
    stems = {path.stem for path in images.iterdir()}
    for path in sorted(labels.glob("*.txt")):
        if path.stem not in stems and path.name != "classes.txt":
            yield Skipped(os.path.relpath(path, root), "UNKNOWN_IMAGE", "a label file of no image")


@dataclass(frozen=True)
class _Object:
    """One line of a label file; its box in shares of the sides."""

    name: str
    box: Box
    is_polygon: bool
    span: tuple[int, int]

    @property
    def area(self) -> float:
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


def _find(root: Path, data: str | None) -> Path:
    if root.is_file():
        return root
    names = _NAMES if data is None else (data,)
    for name in names:
        if (root / name).is_file():
            return root / name
    others = sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if data is None else []
    if len(others) == 1:
        return others[0]
    raise DatasetError(
        f"dataset.data: no {' or '.join(names)} in {root}; {found_there(root, '*.yaml', '*.yml')}. "
        "Write the name of the file that lists the classes."
    )


def _yaml(path: Path) -> Mapping[str, object]:
    content = read_declared(path, "dataset.data", 2**20, DatasetError)
    try:
        found = load_yaml(content.decode("utf-8-sig"))
    except ValueError as error:
        raise DatasetError(
            f"dataset.data: {path.name} is no valid YAML ({error}). Correct it there; expected the "
            "keys names, and val, test or train."
        ) from error
    if not isinstance(found, dict) or "names" not in found:
        raise DatasetError(f"dataset.data: {path.name} has no key names; expected YOLO's data.yaml")
    return found


def _class_names(data: Mapping[str, object], path: Path) -> dict[int, str]:
    names = data["names"]
    if not isinstance(names, dict | list):
        raise DatasetError(
            f"dataset.data: names in {path.name}: expected a list or numbers with names, "
            f"found {names!r:.80}"
        )
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    try:
        listed = {int(index): str(name) for index, name in pairs}
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"dataset.data: names in {path.name}: expected a list, or a number each, found "
            f"{names!r:.60} ({error})"
        ) from error
    if not listed:
        raise DatasetError(
            f"dataset.data: {path.name} names no classes. Write them below its key names."
        )
    return listed


def _images(data: Mapping[str, object], split: str | None, path: Path) -> list[Path]:
    """The images of a split, in the order of their names."""
    chosen = split or next((name for name in ("val", "test", "train") if data.get(name)), "val")
    listed = data.get(chosen)
    if not listed:
        there = [name for name in ("train", "val", "test") if data.get(name)]
        raise DatasetError(
            f"dataset.split: {path.name} names no {chosen}; found: {', '.join(there) or 'none'}. "
            "Write one of its splits, or add this one to the file."
        )
    images: list[Path] = []
    for text in listed if isinstance(listed, list) else [listed]:
        folder = _place(str(text), data.get("path"), path)
        if folder.is_dir():
            below = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            images += below
        else:
            lines = folder.read_text(encoding="utf-8", errors="replace").split("\n")
            names = [line.strip() for line in lines if line.strip() and "\0" not in line]
            images += [folder.parent / name.removeprefix("./") for name in names]
    return list(dict.fromkeys(images))


def _place(text: str, start: object, path: Path) -> Path:
    """Where a split lies: below `path`, beside the file, or, as Roboflow writes it, above."""
    below = Path(str(start)) if start else Path()
    tried = [path.parent / below / text, path.parent / text]
    tried += [path.parent / Path(text).relative_to("..")] if text.startswith("../") else []
    for folder in tried:
        if os.path.exists(folder):
            return folder
    raise DatasetError(
        f"dataset.split: {text!r:.200} of {path.name} is not there; tried beside the file and "
        f"below its path {str(start)!r:.200}. Correct `path` in that file, or move the images."
    )


def _labels_of(image: Path) -> Path:
    """The label file of an image: ``labels`` for the last ``images`` of its path."""
    parts = list(image.parts)
    for index in reversed(range(len(parts) - 1)):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read(path: Path, names: dict[int, str], has_points: bool) -> list[_Object]:
    try:
        if path.stat().st_size > _LARGEST:
            raise SampleError("TOO_MANY_BYTES", f"a label file of more than {_LARGEST} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise SampleError("NO_ANNOTATION", f"no label file ({error.strerror})") from error
    objects, start = [], 0
    for line_number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            objects.append(_object(line, (start, len(line)), names, has_points, line_number))
        start += len(line) + 1
    return objects


def _object(
    line: bytes, span: tuple[int, int], names: dict[int, str], has_points: bool, line_number: int
) -> _Object:
    first, *rest = line.split()
    try:
        index = float(first)
        name = names[int(index) if index.is_integer() else -1]
        values = [number(float(text)) for text in rest]
    except (KeyError, ValueError, OverflowError) as error:
        detail = f"line {line_number}: {error!r:.80}; expected a class of names and numbers"
        raise SampleError("BAD_ANNOTATION", detail) from error
    if has_points:
        values = values[:4]
    numbers = [value for value in values if value is not None and -0.1 <= value <= 1.1]
    if len(numbers) != len(values) or len(numbers) < 4 or (len(numbers) > 5 and len(numbers) % 2):
        detail = f"line {line_number}: expected numbers within 0..1, found {line[:60]!r}"
        raise SampleError("BAD_ANNOTATION", detail)
    if len(numbers) < 6:
        return _Object(name, within_unit(corners(numbers[:4], "cxcywh")), False, span)
    x, y = numbers[::2], numbers[1::2]
    return _Object(name, within_unit((min(x), min(y), max(x), max(y))), True, span)
