"""Reader of Hugging Face's layouts: ImageFolder with metadata, Parquet, and saved datasets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from audit.dataset.arrow_rows import LABELS, parquet_rows, saved_rows
from audit.dataset.image_folder import IMAGE_SUFFIXES, image_folder
from audit.dataset.mask_names import is_mask_name
from audit.dataset.paths import PathResolver, found_there, no_folder
from audit.dataset.samples import Remark, Sample, Skipped
from audit.dataset.tables import open_table
from audit.errors import DatasetError, SampleError

_SPLITS = ("test", "validation", "val", "valid", "train")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def huggingface(
    root: Path,
    *,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    follow_links: bool = False,
) -> Iterator[Sample | Skipped | Remark]:
    """Read a dataset as Hugging Face's ``datasets`` writes it, without that library.

    An ImageFolder with ``metadata.csv``, ``.jsonl`` or ``.parquet`` (or with class folders alone);
    Parquet files with image bytes; the folder of ``save_to_disk``. Numbers of a ``ClassLabel``
    become its names.

    Parameters
    ----------
    root : Path
        The folder of the dataset, or of one split.
    split : str, optional
        ``test``, ``validation``, ``train``, ...; None: the first of these that is there.
    image_column, label_column : str, optional
        None: the first column of images; ``label`` and the like.
    follow_links : bool
        Allow image paths that lead out of the split's folder.

    Raises
    ------
    DatasetError
        None of these layouts, or a column is missing.
    """
    if not root.is_dir():
        raise DatasetError(no_folder(root))
    folder, chosen = _split_folder(root, split)
    if chosen and split is None:
        yield Remark(f"the split {chosen} is taken; dataset.split names another")
    if (folder / "state.json").is_file():
        yield from saved_rows(folder, image_column, label_column, follow_links)
    elif tables := _parquet_files(root, folder, chosen):
        resolver = PathResolver(root, follow_links)
        yield from parquet_rows(resolver, tables, image_column, label_column)
    elif metadata := next((folder / n for n in _METADATA if (folder / n).is_file()), None):
        yield from _with_metadata(folder, metadata, label_column, follow_links)
    else:
        yield from image_folder(folder, follow_links=follow_links)


def opened_files(root: Path, options: Mapping[str, object]) -> list[Path]:
    """The tables that :func:`huggingface` opens, told by the names of all files.

    Parameters
    ----------
    root : Path
        The folder of the dataset, or of one split.
    options : mapping
        Of the reader.

    Returns
    -------
    list of Path
        Parquet and Arrow files with the pictures in them, or a table beside them.
    """
    split = options.get("split")
    folder, chosen = _split_folder(root, split if isinstance(split, str) else None)
    if (folder / "state.json").is_file():
        return sorted(folder.glob("*.arrow"))
    tables = _parquet_files(root, folder, chosen)
    return tables or [path for n in _METADATA if (path := folder / n).is_file()][:1]


def _split_folder(root: Path, split: str | None) -> tuple[Path, str | None]:
    """The folder of a split, and which one it is; the root where splits are no folders."""
    for start in (root, root / "data"):
        for name in _SPLITS if split is None else (split,):
            if (start / name).is_dir() or any(start.glob(f"{name}-*.parquet")):
                return (start / name if (start / name).is_dir() else start), name
    if split is not None:
        raise DatasetError(
            f"dataset.split: no folder and no Parquet file of {split} in {root}; "
            f"{found_there(root, '*/', '*.parquet', 'data/*.parquet')}. Write a split that is "
            "there, or leave it out."
        )
    return root, None


def _parquet_files(root: Path, folder: Path, split: str | None) -> list[Path]:
    for start in dict.fromkeys((folder, root / "data", root)):
        found = sorted(p for p in start.glob("*.parquet") if p.name not in _METADATA)
        named = [path for path in found if split and path.name.startswith(f"{split}-")]
        if found:
            return named or found
    return []


def _with_metadata(
    folder: Path, metadata: Path, label: str | None, follow_links: bool
) -> Iterator[Sample | Skipped | Remark]:
    """Images that a table beside them describes; without a label there the folder is the class."""
    resolver = PathResolver(folder, follow_links)
    seen: set[str] = set()
    listed: set[str] = set()
    for row in _rows(metadata):
        name = str(row.get("file_name") or "")
        sample_id = Path(name).as_posix()
        listed.add(sample_id)
        found = label or next((key for key in LABELS if row.get(key) not in (None, "")), None)
        parents = Path(name).parts[:-1]
        value = row.get(found) if found else (parents[0] if parents else None)
        try:
            path = resolver.find(name)
            if value is None or value == "":
                raise SampleError("NO_LABEL", "neither the table nor a folder names its class")
        except SampleError as error:
            yield Skipped(name.replace("\0", "?"), error.reason, error.detail)
            continue
        if sample_id in seen:
            yield Skipped(name, "DUPLICATE_IMAGE", "listed before", str(value))
            continue
        seen.add(sample_id)
        rest = {
            str(key): None if item is None else str(item)
            for key, item in row.items()
            if key not in ("file_name", found)
        }
        yield Sample(sample_id, path, str(value), metadata=rest)
    yield from _unlisted(folder, listed, metadata.name)


def _unlisted(folder: Path, listed: set[str], name: str) -> Iterator[Remark]:
    """Count the images that no row of the table names."""
    count, first = 0, ""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if one[0] != "." and one != "masks")
        stems = frozenset(Path(file).stem for file in files)
        for file in sorted(files):
            path = Path(parent, file).relative_to(folder).as_posix()
            is_image = Path(file).suffix.lower() in IMAGE_SUFFIXES and not is_mask_name(file, stems)
            if is_image and path not in listed:
                count, first = count + 1, first or path
    if count:
        yield Remark(f"images in no row of {name}: {count}, such as {first!r:.80}; left out")


def _rows(metadata: Path) -> Iterator[Mapping[str, object]]:
    if metadata.suffix != ".jsonl":
        table = open_table(metadata, known=frozenset({"file_name", *LABELS}))
        if "file_name" not in table.columns:
            raise DatasetError(
                f"dataset: {metadata.name} has no column file_name; found: "
                f"{', '.join(table.columns)}. Rename the one that holds the images' names, or take "
                "dataset.reader: csv_index, which is told it."
            )
        for values in table.rows:
            yield dict(zip(table.columns, values, strict=True))
        return
    with metadata.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                where = f"{metadata.name}, line {number}"
                raise DatasetError(
                    f"dataset: {where}: not valid JSON ({error}). Expected an object a line; "
                    "correct that line."
                ) from error
            if not isinstance(row, dict):
                raise DatasetError(
                    f"dataset: {metadata.name}, line {number}: expected an object such as "
                    f'{{"file_name": "a.jpg", "label": "cat"}}, found {line.strip()!r:.60}'
                )
            yield row
