"""A first guess at how a dataset is to be read, from what lies in its folder."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.dataset.foregrounds import chosen_source
from audit.dataset.image_folder import IMAGE_SUFFIXES
from audit.dataset.layouts import SPLITS, layout_of
from audit.dataset.mask_drafts import mask_folders, mask_pattern
from audit.dataset.readers import Dataset, read_dataset
from audit.errors import DatasetError

_BEST_SPLITS = ("test", "val", "valid", "validation", "train")
_CLASS_FILES = ("classes.txt", "class_names.txt", "labels.txt", "classnames.txt")
_ANY_NAME = {
    *SPLITS,
    *("images", "image", "imgs", "img", "data", "dataset", "datasets", "jpegimages", "photos"),
}
_LOOKED_AT = 60


@dataclass
class DatasetDraft:
    """What a manifest would say of a dataset.

    Parameters
    ----------
    reader : str
        Key of :data:`audit.dataset.readers.READERS`.
    root : Path
        Where it begins.
    options : dict
        Of the reader.
    foreground : dict
        The section ``foreground``, its `root` a Path; empty where nothing says where objects are.
    classes : Path or None
        A file with class names that lies there.
    name : str
        Of the dataset.
    guessed, unknown : list of str
        What was guessed and by what; what could not be.
    """

    reader: str
    root: Path
    options: dict[str, Any] = field(default_factory=dict)
    foreground: dict[str, Any] = field(default_factory=dict)
    classes: Path | None = None
    name: str = ""
    guessed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    dataset: Dataset | None = None


def draft_dataset(images: Path, masks: Path | None, annotations: Path | None) -> DatasetDraft:
    """Look at a dataset and read its list of images once.

    Parameters
    ----------
    images : Path
        Its folder, or that of its images.
    masks : Path, optional
        The folder of the masks.
    annotations : Path, optional
        A COCO file, a table, YOLO's data.yaml, or VOC's folder ``Annotations``.

    Raises
    ------
    DatasetError
        Nothing in it can be read as images with labels.
    """
    images = images.resolve()
    draft = _annotated(images, annotations.resolve()) if annotations else _laid_out(images)
    draft.dataset = found = read_dataset(draft.reader, draft.root, draft.options)
    draft.name = _name_of(draft.root)
    draft.guessed.append(
        f"{len(found.table):,} images of {len(found.class_names)} classes, such as "
        f"{', '.join(found.class_names[:3])}"
    )
    draft.guessed += found.remarks
    _find_foreground(draft, masks.resolve() if masks else None)
    for folder in (draft.root, draft.root.parent, images, images.parent):
        for name in _CLASS_FILES:
            if draft.classes is None and (folder / name).is_file():
                draft.classes = folder / name
    return draft


def _name_of(root: Path) -> str:
    steps = [root.stem if root.is_file() else root.name, *(p.name for p in root.parents)]
    return next((name for name in steps if name and name.lower() not in _ANY_NAME), "audit")


def _annotated(images: Path, annotations: Path) -> DatasetDraft:
    """By the kind of a file of annotations."""
    below = images if annotations.is_relative_to(images) else _common(images, annotations)
    inside = os.path.relpath(annotations, below)
    folder = os.path.relpath(images, below)
    if annotations.is_dir() or annotations.suffix == ".xml":
        root = annotations.parent if annotations.is_dir() else annotations.parent.parent
        return DatasetDraft("voc", root, guessed=["reader voc: a folder of .xml files"])
    if annotations.suffix in (".json", ".jsonl"):
        options = {"annotations": inside} | ({"images": folder} if folder != "." else {})
        return DatasetDraft("coco", below, options, guessed=["reader coco: a JSON file"])
    if annotations.suffix in (".yaml", ".yml"):
        options = {"data": annotations.name} if annotations.name != "data.yaml" else {}
        return DatasetDraft("yolo", annotations.parent, options, guessed=["reader yolo: its YAML"])
    index = os.path.relpath(annotations, images)
    chosen: dict[str, Any] = {"index": index}
    if index.startswith(".."):
        chosen["follow_links"] = True
    return DatasetDraft("csv_index", images, chosen, guessed=["reader csv_index: a table"])


def _common(*paths: Path) -> Path:
    return Path(os.path.commonpath([str(path) for path in paths]))


def _laid_out(images: Path) -> DatasetDraft:
    """By the layout of a folder, of one above it, or of the splits in it."""
    if images.is_file():
        reader = "webdataset" if images.suffix == ".tar" else "csv_index"
        return DatasetDraft(reader, images, guessed=[f"reader {reader}: it is a file"])
    folders = sorted(p.name for p in images.iterdir() if p.is_dir() and p.name[0] != ".")
    # Flat images belong to a layout whose folder is further up.
    places = [images] if folders else [images, images.parent, images.parent.parent]
    for root in places:
        if found := layout_of(root, images):
            return _of_layout(found[0], root, found[1])
    splits = [name for name in _BEST_SPLITS if name in folders]
    if splits and set(folders) <= {*SPLITS}:
        root = images / splits[0]
        guess = f"the split {splits[0]}, of {', '.join(folders)}"
        if found := layout_of(root, root):
            draft = _of_layout(found[0], root, found[1])
            draft.guessed.insert(0, guess)
            return draft
        if any(path.is_dir() for path in root.iterdir()):
            return DatasetDraft("image_folder", root, guessed=[guess, "one folder a class"])
    if not folders:
        count = sum(path.suffix.lower() in IMAGE_SUFFIXES for path in images.iterdir())
        raise DatasetError(
            f"--images: {count} images and no folder a class in {images}. Which class each image "
            "has must stand somewhere: name a COCO file or a table with --annotations."
        )
    return DatasetDraft("image_folder", images, guessed=["reader image_folder: one folder a class"])


def _of_layout(reader: str, root: Path, sign: str) -> DatasetDraft:
    draft = DatasetDraft(reader, root, guessed=[f"reader {reader}: by {sign}"])
    if reader == "csv_index":
        table = sorted(root.glob("*.csv"))[0].name
        if table != "index.csv":
            draft.options["index"] = table
    if reader == "coco":
        files = sorted([*root.glob("annotations/*.json"), *root.glob("*/_annotations.coco.json")])
        if len(files) > 1:
            named = [
                f for split in _BEST_SPLITS for f in files if split in str(f.relative_to(root))
            ]
            instances = [f for f in named or files if "instances" in f.name]
            chosen = (instances or named or files)[0]
            draft.options["annotations"] = str(chosen.relative_to(root))
            draft.guessed.append(f"annotations {chosen.name}, of {len(files)} files")
    return draft


def _find_foreground(draft: DatasetDraft, masks: Path | None) -> None:
    """Masks that are named, those of the reader, those beside the images or apart from them."""
    assert draft.dataset is not None
    table = draft.dataset.table
    own = chosen_source(
        None,
        masks=bool(table["mask"].notna().any()),
        boxes=bool((table["boxes"] != "[]").any()),
        outlines=draft.dataset.outlines,
    )
    few = list(itertools.islice(draft.dataset.samples, 0, None, max(1, len(table) // _LOOKED_AT)))
    if masks is None and own != "none":
        draft.foreground = {"source": own}
        draft.guessed.append(f"foregrounds {own}: the reader brings them")
        return
    for root in [masks] if masks else mask_folders(draft.root):
        pattern, share = mask_pattern(few, root)
        if share >= 0.5 or masks:
            root_option = {} if root is None else {"root": root}
            named = {} if pattern is None else {"pattern": pattern}
            draft.foreground = {"source": "mask_file", **root_option, **named}
            where = "beside the images" if root is None else f"in {root.name}"
            called = f", named {pattern}" if pattern else ""
            if share:
                draft.guessed.append(
                    f"masks {where}{called}, for {round(share * len(few))} of {len(few)} images"
                )
            else:
                draft.unknown.append(
                    f"how masks {where} are named: none fits {few[0].sample_id}. Set "
                    "foreground.pattern, such as '{stem}_mask.png'."
                )
            return
    draft.unknown.append(
        "where the objects are: no masks, boxes or outlines were found. Without them no class is "
        "judged; give masks with --masks, or write `foreground: {source: estimated}`."
    )
