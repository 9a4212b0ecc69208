"""Hugging Face's layouts as its own library writes them, and WebDataset's shards."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from audit.dataset.batches import iterate_batches
from audit.dataset.content_store import ContentStore
from audit.dataset.contents import hash_contents
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.loading import load_sample
from audit.dataset.readers import Dataset, read_dataset
from audit.errors import DatasetError
from audit.geometry import Geometry

NAMES = ["cat", "dog", "owl"]
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": NAMES, "_type": "ClassLabel"},
}


def png(grey: int) -> bytes:
    held = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), grey, np.uint8)).save(held, "PNG")
    return held.getvalue()


def table(count: int = 200, *, path: str | None = None) -> pa.Table:
    cells = [{"bytes": None if path else png(i), "path": path} for i in range(count)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(cells, kind), "label": pa.array([i % 3 for i in range(count)])}
    written = json.dumps({"info": {"features": FEATURES}})
    return pa.table(columns).replace_schema_metadata({"huggingface": written})


def save_to_disk(folder: Path, rows: pa.Table, **options: Any) -> Path:
    folder.mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    with pa.ipc.new_stream(str(folder / name), rows.schema, **options) as writer:
        writer.write_table(rows, max_chunksize=70)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def greys(found: Dataset, every: int = 1) -> dict[int, str]:
    """What the decoding children see, by label: the grey value is the row's number."""
    some = found.table.assign(label=0).iloc[::every]
    with Loader(LoadingPlan(Geometry(16, None, "none")), 2) as loader:
        batches = list(iterate_batches(some, loader, 16))
    assert not [error for batch in batches for _, error in batch.unreadable]
    return {
        int(image.float().mean()): name
        for batch in batches
        for image, name in zip(batch.images, batch.label_names, strict=True)
    }


EXPECTED = {i: NAMES[i % 3] for i in range(200)}


def test_parquet_with_image_bytes_and_class_labels(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        path = tmp_path / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(table(), path, row_group_size=80)
    found = read_dataset("huggingface", tmp_path, {})
    assert found.remarks == ("the split test is taken; dataset.split names another",)
    assert found.table["sample_id"].iloc[7] == "data/test-00000-of-00001.parquet/0000007"
    assert greys(found) == EXPECTED
    # Rows are found in whatever order they are asked for.
    assert greys(Dataset(found.table.iloc[::-1], ()), 7).items() <= EXPECTED.items()
    with pytest.raises(DatasetError, match=r"dataset\.split"):
        read_dataset("huggingface", tmp_path, {"split": "dev"})
    with pytest.raises(DatasetError, match=r"dataset\.image_column: .* found: image, label"):
        read_dataset("huggingface", tmp_path, {"image_column": "label"})


def test_the_folder_of_save_to_disk(tmp_path: Path) -> None:
    found = read_dataset("huggingface", save_to_disk(tmp_path / "saved", table()), {})
    assert greys(found) == EXPECTED
    save_to_disk(tmp_path / "dict" / "train", table())
    save_to_disk(tmp_path / "dict" / "test", table(4))
    some = greys(read_dataset("huggingface", tmp_path / "dict", {}))
    assert some == {i: EXPECTED[i] for i in range(4)}
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    packed = save_to_disk(tmp_path / "packed", table(), options=options)
    with pytest.raises(DatasetError, match="compressed"):
        read_dataset("huggingface", packed, {})
    path = packed / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DatasetError, match="cannot be read"):
        read_dataset("huggingface", packed, {})


@pytest.mark.parametrize("saved", ["one", "several", "hub"])
def test_what_the_library_itself_wrote_is_read(saved: str) -> None:
    """Four pictures of grey 0, 20, 40, 60, by ``datasets`` 5.2.0: save_to_disk and to_parquet."""
    root = Path(__file__).parent / "frozen" / "datasets" / saved
    found = read_dataset("huggingface", root, {})
    assert found.skipped == ()
    seen = [(load_sample(s, Geometry(16, None, "none"), None), s.label_name) for s in found.samples]
    greys_by_name = [(int(loaded.image.mean()), name) for loaded, name in seen]
    assert greys_by_name == [(0, "cat"), (20, "dog"), (40, "cat"), (60, "dog")]


@pytest.mark.parametrize("kind", ["parquet", "saved"])
def test_cells_that_name_files_stay_within_the_dataset(tmp_path: Path, kind: str) -> None:
    for number, (name, count) in enumerate((("a.png", 3), ("/etc/hostname", 0), ("../b.png", 0))):
        root = tmp_path / str(number)
        rows = table(3, path=name)
        if kind == "parquet":
            root.mkdir()
            pq.write_table(rows, root / "all.parquet")
        else:
            save_to_disk(root, rows)
        (root / "a.png").write_bytes(png(9))
        if count:
            assert len(read_dataset("huggingface", root, {}).table) == count
        else:
            with pytest.raises(DatasetError, match="found no image .*3 entries skipped"):
                read_dataset("huggingface", root, {})


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_image_folder_with_metadata(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "train"
    (folder / "dog").mkdir(parents=True)
    rows = [("0.png", "cat"), ("dog/1.png", None), ("2.png", "owl"), ("../3.png", "owl")]
    for number, (name, _) in enumerate(rows):
        (folder / name).write_bytes(png(number))
    if ending == "csv":
        lines = ["file_name,label,camera", *(f"{name},{label or ''},x" for name, label in rows)]
    else:
        lines = [json.dumps({"file_name": n, "label": v, "camera": "x"}) for n, v in rows]
    (folder / f"metadata.{ending}").write_text("\n".join(lines))
    found = read_dataset("huggingface", tmp_path, {})
    labels = {s.sample_id: s.label_name for s in found.samples}
    # A row without a label has the class of its folder.
    assert labels == {"0.png": "cat", "dog/1.png": "dog", "2.png": "owl"}
    assert [item.reason for item in found.skipped] == ["OUTSIDE_ROOT"]
    assert next(found.samples).metadata == {"camera": "x"}


def test_class_folders_alone(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / "validation" / name).mkdir(parents=True)
        (tmp_path / "validation" / name / "0.png").write_bytes(png(3))
    assert read_dataset("huggingface", tmp_path, {}).class_names == NAMES


def test_metadata_that_cannot_be_read_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "label": "x"}\n{"file_name\n')
    with pytest.raises(DatasetError, match="line 2: not valid JSON"):
        read_dataset("huggingface", tmp_path, {})


def shard(path: Path, *members: tuple[str, bytes]) -> None:
    with tarfile.open(path, "w") as opened:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))


def test_shards_of_webdataset(tmp_path: Path) -> None:
    shard(
        tmp_path / "a-000.tar",
        *(("0001.png", png(1)), ("0001.cls", b"cat\n")),
        *(("0002.json", b'{"label": "dog"}'), ("0002.png", png(2))),
        *(("../../0003.png", png(3)), ("../../0003.txt", b"owl")),
        ("0004.png", png(4)),
        ("0005.cls", b"cat"),
        *(("0006.png", png(6)), ("0006.json", b"[" * 100_000)),
    )
    found = read_dataset("webdataset", tmp_path, {})
    assert greys(found) == {1: "cat", 2: "dog", 3: "owl"}
    assert [item.reason for item in found.skipped] == ["NO_LABEL", "NO_IMAGE", "NO_LABEL"]
    (tmp_path / "b.tar").write_bytes(b"no tar")
    with pytest.raises(DatasetError, match="no uncompressed tar"):
        read_dataset("webdataset", tmp_path, {})
    with pytest.raises(DatasetError, match=r"dataset\.shards: no x"):
        read_dataset("webdataset", tmp_path, {"shards": "x*"})


def test_parts_and_cells_are_hashed_by_themselves(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "all.parquet", row_group_size=80)
    found = read_dataset("huggingface", tmp_path, {}).table
    store = ContentStore(tmp_path / "contents.sqlite")
    assert hash_contents(found, None, store).files == 200
    wanted = [hashlib.sha256(png(i)).hexdigest() for i in range(200)]
    assert sorted(found["sha256"]) == sorted(wanted)
    assert hash_contents(found, None, store).files == 0
    assert sorted(found["sha256"]) == sorted(wanted)
