"""Rows of Arrow and Parquet files as Hugging Face's ``datasets`` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from audit.dataset.paths import PathResolver
from audit.dataset.samples import Sample, Skipped
from audit.errors import DatasetError, SampleError

LABELS = ("label", "labels", "fine_label", "class", "class_name", "category")


def _columns(
    schema: pa.Schema, image: str | None, label: str | None, shown: str
) -> tuple[list[str], str, dict[int, str]]:
    """Where the image bytes and the label are, and the names of a ClassLabel's numbers."""
    features = _features(schema)
    if image is None:
        image = next((name for name in schema.names if _image_field(schema, name)), None)
    if image is None or image not in schema.names or not (fields := _image_field(schema, image)):
        raise DatasetError(
            f"dataset.image_column: {shown} has no column of image bytes"
            f"{f' {image!r}' if image else ''}; found: {', '.join(schema.names)}. Write the name "
            "of the one that holds them: bytes, or a struct with bytes."
        )
    if label is None:
        label = next((name for name in LABELS if name in schema.names), None)
    if label is None or label not in schema.names:
        raise DatasetError(
            f"dataset.label_column: {shown} has no column {label or LABELS[0]!r}; "
            f"found: {', '.join(schema.names)}. Write the name of the one that holds the class."
        )
    feature = features.get(label)
    names = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    return [image, *fields], label, dict(enumerate(map(str, names or ())))


def _image_field(schema: pa.Schema, name: str) -> list[str] | None:
    """The fields below a column in which image bytes are; None: there are none."""
    kind = schema.field(name).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return ["bytes"]
    return [] if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None


def _features(schema: pa.Schema) -> Mapping[str, object]:
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = found["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _label_of(value: Any, names: dict[int, str]) -> str:
    if value is None or value != value:
        raise SampleError("NO_LABEL", "the row has no label")
    if names:
        if value not in names:
            raise SampleError("NO_LABEL", f"the label {value!r:.40} is none of its ClassLabel")
        return names[value]
    return str(value)


def parquet_rows(
    resolver: PathResolver, paths: Sequence[Path], image: str | None, label: str | None
) -> Iterator[Sample | Skipped]:
    """Rows of Parquet files below a folder; an image is a cell, or a file that the cell names."""
    for path in paths:
        shown = path.relative_to(resolver.root).as_posix()
        try:
            opened = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(
                f"dataset: {shown} cannot be read as Parquet ({error}). Copy it again."
            ) from error
        fields, label_column, names = _columns(opened.schema_arrow, image, label, shown)
        columns = [label_column]
        if by_name := len(fields) > 1 and _has_no_bytes(opened, fields):
            columns.append(f"{fields[0]}.path")
        row = 0
        for batch in opened.iter_batches(columns=columns):
            for cells in batch.to_pylist():
                sample_id = f"{shown}/{row:07d}"
                at, row = row, row + 1
                try:
                    named = _label_of(cells[label_column], names)
                    if by_name:
                        file = resolver.find(str((cells[fields[0]] or {}).get("path") or ""))
                        yield Sample(sample_id, file, named)
                    else:
                        yield Sample(sample_id, path, named, member=("parquet", at, *fields))
                except SampleError as error:
                    yield Skipped(sample_id, error.reason, error.detail)


def _has_no_bytes(opened: pq.ParquetFile, fields: Sequence[str]) -> bool:
    """Whether the cells of images name files and hold none; the file's own counts tell."""
    name, found = ".".join(fields), 0
    for group in range(opened.metadata.num_row_groups):
        metadata = opened.metadata.row_group(group)
        for index in range(metadata.num_columns):
            column = metadata.column(index)
            if column.path_in_schema == name:
                statistics = column.statistics
                if statistics is None or statistics.null_count != metadata.num_rows:
                    return False
                found += 1
    return found > 0


def saved_rows(
    folder: Path, image: str | None, label: str | None, follow_links: bool
) -> Iterator[Sample | Skipped]:
    """Rows of ``save_to_disk``: uncompressed Arrow, so that an image is a part of a file."""
    try:
        files = [entry["filename"] for entry in _json(folder / "state.json")["_data_files"]]
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"dataset: state.json in {folder.name} names no data files. Expected a folder as "
            "save_to_disk leaves it, with _data_files; save the dataset again."
        ) from error
    resolver = PathResolver(folder, follow_links)
    for name in files:
        try:
            path = resolver.find(str(name))
            with pa.memory_map(str(path)) as mapped:
                yield from _stream(path, mapped, resolver, image, label)
        except (SampleError, OSError, pa.ArrowException) as error:
            raise DatasetError(
                f"dataset: {name!r:.100} cannot be read ({error}). Copy the folder again, whole."
            ) from error


def _stream(
    path: Path,
    mapped: pa.MemoryMappedFile,
    resolver: PathResolver,
    image: str | None,
    label: str | None,
) -> Iterator[Sample | Skipped]:
    whole = mapped.read_buffer(mapped.size())
    reader = pa.ipc.open_stream(whole)
    fields, label_column, names = _columns(reader.schema, image, label, path.name)
    row = 0
    for batch in reader:
        batch.validate()
        column = batch.column(fields[0])
        parts = _parts(column.field("bytes") if len(fields) > 1 else column, whole)
        files = [None] * len(column)
        if len(fields) > 1 and column.type.get_field_index("path") >= 0:
            files = column.field("path").to_pylist()
        labels = batch.column(label_column).to_pylist()
        for part, file, value in zip(parts, files, labels, strict=True):
            sample_id = f"{path.name}/{row:07d}"
            row += 1
            try:
                named = _label_of(value, names)
                if part is None:
                    yield Sample(sample_id, resolver.find(str(file or "")), named)
                else:
                    yield Sample(sample_id, path, named, member=("bytes", *part))
            except SampleError as error:
                yield Skipped(sample_id, error.reason, error.detail)


def _parts(cells: Any, whole: pa.Buffer) -> Iterator[tuple[int, int] | None]:
    """Start and length of binary cells in the file that they are mapped from; None: no bytes."""
    wide = pa.types.is_large_binary(cells.type)
    _, ends, content = cells.buffers()
    edges = np.frombuffer(ends, np.int64 if wide else np.int32)[cells.offset :].tolist()
    start = content.address - whole.address if content is not None else 0
    for index, valid in enumerate(cells.is_valid().to_pylist()):
        if not valid:
            yield None
            continue
        first, length = start + edges[index], edges[index + 1] - edges[index]
        if not 0 <= first <= first + length <= whole.size:
            raise DatasetError("dataset: the Arrow files are compressed; save them again without")
        yield first, length


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(
            f"dataset: {path.name} cannot be read ({error}). Save the dataset again."
        ) from error
