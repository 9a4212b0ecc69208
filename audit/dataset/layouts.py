"""Which reader a folder is for, by what lies in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SPLITS = ("train", "val", "valid", "validation", "test")
_FOLDERS = {
    *SPLITS,
    *("Annotations", "JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets"),
    *("annotations", "images", "labels", "masks", "data", "train2017", "val2017", "test2017"),
}
_WORDNET = re.compile(r"n\d{8}")


def recognise(root: Path) -> tuple[str, str] | None:
    """Tell the layout of a dataset's folder that is not one folder a class.

    Parameters
    ----------
    root : Path
        The folder.

    Returns
    -------
    (str, str) or None
        The reader, and by what it was recognised; None: nothing speaks against ``image_folder``.
    """
    return next(_signs(root), None)


def _signs(root: Path) -> Iterator[tuple[str, str]]:
    if (root / "Annotations").is_dir() and any((root / "Annotations").glob("*.xml")):
        yield "voc", "the folder Annotations with .xml files"
    for pattern in ("annotations/*.json", "*_annotations.coco.json", "*/_annotations.coco.json"):
        if found := next(iter(sorted(root.glob(pattern))), None):
            yield "coco", f"the file {found.relative_to(root)}"
    if (root / "data.yaml").is_file() or (
        (root / "images").is_dir() and (root / "labels").is_dir()
    ):
        named = (root / "data.yaml").is_file()
        yield "yolo", "the file data.yaml" if named else "the folders images and labels"
    for name in ("state.json", "dataset_dict.json"):
        if (root / name).is_file():
            yield "huggingface", f"the file {name}"
    for pattern in ("*.parquet", "data/*.parquet", "metadata.*", "*/metadata.*"):
        for found in sorted(root.glob(pattern)):
            if found.suffix in (".parquet", ".jsonl", ".csv") and found.name != "index.parquet":
                yield "huggingface", f"the file {found.relative_to(root)}"
    if found := next(iter(sorted(root.glob("*.tar"))), None):
        yield "webdataset", f"the file {found.name}"
    if found := next(iter(sorted(root.glob("*.csv"))), None):
        yield "csv_index", f"the file {found.name}"


def layout_of(root: Path, images: Path) -> tuple[str, str] | None:
    """Tell the layout of a folder, unless its own folders may well be classes.

    Parameters
    ----------
    root : Path
        The folder.
    images : Path
        Where the images are said to lie: `root`, or a folder below it.

    Returns
    -------
    (str, str) or None
        As of :func:`recognise`.
    """
    found = recognise(root)
    folders = {path.name for path in root.iterdir() if path.is_dir()}
    # A list beside class folders may be anything; their metadata are no accident. Those of a
    # neighbour of the images, though, tell of the neighbour.
    table = root / (found[1].split()[-1] if found else "")
    own = images == root or images.is_relative_to(table.parent)
    plain = folders <= _FOLDERS or (table.name.startswith("metadata.") and own)
    return found if plain else None


def advice(root: Path, folders: list[str]) -> str:
    """What to do where a folder's own folders are no classes; "" where they may well be.

    Parameters
    ----------
    root : Path
        The folder.
    folders : list of str
        Names of its folders.
    """
    if not set(folders) <= _FOLDERS:
        return ""
    splits = [name for name in SPLITS if name in folders]
    if found := recognise(root):
        return f"By {found[1]} this is a dataset for dataset.reader: {found[0]}."
    for name in splits:
        if found := recognise(root / name):
            return f"By {found[1]} in {name} this is a dataset for dataset.reader: {found[0]}."
    if len(splits) == len(folders):
        inner = [name for name in splits if any(p.is_dir() for p in (root / name).iterdir())]
        if inner:
            inner_name = (root / inner[-1]).name
            return (
                f"These are splits, not classes: take one of them, dataset.root: .../{inner_name}."
            )
    return ""


def are_wordnet(names: list[str]) -> bool:
    """Whether all of some class folders are named by WordNet numbers, as ImageNet's are."""
    return len(names) > 1 and all(_WORDNET.fullmatch(name) for name in names)
