"""Tables as other tools write them: separators, encodings, header names, conventions of boxes."""

from __future__ import annotations

import codecs
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from audit.dataset.foregrounds import open_foreground
from audit.dataset.loading import load_sample
from audit.dataset.readers import Dataset, read_dataset
from audit.errors import DatasetError, ManifestError
from audit.geometry import Geometry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        Image.fromarray(np.zeros((100, 200, 3), np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def read(folder: Path, text: str | bytes, **options: Any) -> Dataset:
    (folder / "index.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_dataset("csv_index", folder, options)


def labels(found: Dataset) -> dict[str, str]:
    return {sample.sample_id: sample.label_name for sample in found.samples}


PLAIN = {"0.png": "cat", "1.png": "dog"}


@pytest.mark.parametrize(
    "text",
    [
        "path,label,\n0.png,cat,\n1.png,dog,\n",
        "path,label\n0.png,cat,\n1.png,dog,\n",
        "path;label\r\n0.png;cat\r\n1.png;dog\r\n",
        "path\tlabel\n0.png\tcat\n1.png\tdog\n",
        "path|label\n0.png|cat\n1.png|dog\n",
        "file_name,class\n0.png,cat\n./1.png,dog\n",
        "Filename,Class_Name\n0.png,cat\n1.png,dog\n\n",
        "id,image,label_name\n7,0.png,cat\n8,1.png,dog\n",
        'note;path;label\n"a, b; c";0.png;cat\n;1.png;dog\n',
    ],
)
def test_tables_of_other_tools_are_read(folder: Path, text: str) -> None:
    assert labels(read(folder, text)) == PLAIN


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_with_and_without_a_mark(folder: Path, encoding: str) -> None:
    assert labels(read(folder, "path,label\n0.png,cat\n1.png,dog\n".encode(encoding))) == PLAIN


def test_an_encoding_that_cannot_be_told_is_asked_for(folder: Path) -> None:
    text = "path,label\n0.png,Bär\n".encode("cp1252")
    with pytest.raises(DatasetError, match=r"no utf-8 text .* dataset\.encoding: cp1252"):
        read(folder, text)
    assert labels(read(folder, text, encoding="cp1252")) == {"0.png": "Bär"}
    with pytest.raises(DatasetError):
        read(folder, codecs.BOM_UTF8 + b"path,label\n0.png,\xff\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n0.png,cat\n1.png,dog,x\n", "line 3: 3 values for the 2 columns"),
        ("0.png,cat\n1.png,dog\n", "a header is missing"),
        ("path,label\n", "has no rows"),
        ("\n0.png,cat\n", "no header"),
        ("path,breed\n0.png,cat\n", "no column 'label'; found: path, breed"),
    ],
)
def test_what_cannot_be_read_is_named_by_line_or_column(
    folder: Path, text: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read(folder, text)


def test_hostile_cells_cost_their_rows(folder: Path) -> None:
    (folder / "loop").symlink_to(folder / "loop")
    text = (
        "path,label,boxes\n0.png,cat,\nloop,cat,\nloop/x.png,cat,\n/etc/passwd,cat,\n../x.png,a,\n"
        f'a\0b.png,cat,\n,cat,\n{"n" * 300}.png,cat,\n1.png,,\n2.png,cat,"{"[" * 100_000}"\n'
    )
    found = read(folder, text)
    assert labels(found)["0.png"] == "cat"
    reasons = {item.path: item.reason for item in found.skipped}
    assert reasons["/etc/passwd"] == reasons["../x.png"] == "OUTSIDE_ROOT"
    assert reasons["1.png"] == "NO_LABEL"
    assert reasons["2.png"] == "BAD_BOX"
    assert reasons["a?b.png"] == reasons[""] == "BAD_PATH"
    assert len(labels(found)) + len(found.skipped) == 10


def test_files_that_cannot_be_found_are_counted(folder: Path) -> None:
    found = read(folder, "path,label\n0.png,cat\nx/7.png,cat\nx/8.png,cat\n")
    assert found.remarks[0].startswith("2 of 3 image files cannot be found, such as x/7.png")


CORNERS = "[20,10,80,50]", "[120,40,180,90]"
EXPECTED = 0.12, 0.15


def areas(found: Dataset, folder: Path) -> list[float]:
    box = open_foreground("bounding_box", {}, folder)
    loaded = [load_sample(s, Geometry(200, None, "none", "nearest"), box) for s in found.samples]
    return [float((one.foreground == 1).mean()) for one in loaded if one.foreground is not None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('path,label,boxes\n0.png,a,"[20,10,80,50]"\n1.png,a,"[120,40,180,90]"\n', ""),
        ('path,label,boxes\n0.png,a,"[20,10,60,40]"\n1.png,a,"[120,40,60,50]"\n', "1 of 2"),
        ('path,label,bbox_xywh\n0.png,a,"[[20,10,60,40]]"\n1.png,a,"[120,40,60,50]"\n', ""),
        ("path,label,x,y,width,height\n0.png,a,20,10,60,40\n1.png,a,120,40,60,50\n", ""),
        ("path,label,XMin,YMin,XMax,YMax\n0.png,a,.1,.1,.4,.5\n1.png,a,.6,.4,.9,.9\n", "0..1"),
        ("path;label;x0;y0;x1;y1\n0.png;a;0,1;0,1;0,4;0,5\n1.png;a;0,6;0,4;0,9;0,9\n", "0..1"),
        (
            "path,label,x_center,y_center,width,height\n"
            "0.png,a,.25,.3,.3,.4\n1.png,a,.75,.65,.3,.5\n",
            "0..1",
        ),
    ],
)  # fmt: skip
def test_conventions_of_boxes_are_recognised_and_said(folder: Path, text: str, said: str) -> None:
    found = read(folder, text)
    assert areas(found, folder) == pytest.approx(EXPECTED, abs=1e-3)
    assert said in " ".join(found.remarks)
    assert bool(found.remarks) == bool(said)


def test_a_declared_convention_is_never_doubted(folder: Path) -> None:
    text = 'path,label,boxes\n0.png,a,"[50,30,60,40]"\n1.png,a,"[150,65,60,50]"\n'
    found = read(folder, text, box_format="cxcywh")
    assert areas(found, folder) == pytest.approx(EXPECTED, abs=1e-3)
    assert not found.remarks
    with pytest.raises(ManifestError, match=r"dataset\.box_format: expected xyxy"):
        read(folder, text, box_format="yolo")


def test_boxes_over_the_border_are_clipped_and_noted(folder: Path) -> None:
    text = "path,label,x0,y0,x1,y1\n0.png,a,-20,50,400,150\n"
    (sample,) = read(folder, text).samples
    box = open_foreground("bounding_box", {}, folder)
    loaded = load_sample(sample, Geometry(200, None, "none", "nearest"), box)
    assert loaded.notes == ("UNIFORM_IMAGE", "BOX_CLIPPED")
    assert loaded.foreground is not None
    assert (loaded.foreground == 1).mean() == 0.5


def test_box_lists_of_parquet_and_rows_without_boxes(folder: Path) -> None:
    table = pd.DataFrame(
        {
            "file_name": ["0.png", "1.png", "2.png"],
            "label": ["a", "a", "a"],
            "boxes": [[20, 10, 80, 50], [120, 40, 180, 90], None],
        }
    )
    table.to_parquet(folder / "index.parquet")
    found = read_dataset("csv_index", folder, {})
    assert [len(sample.boxes) for sample in found.samples] == [1, 1, 0]
    assert areas(found, folder) == pytest.approx(EXPECTED, abs=1e-3)


def test_a_box_of_shares_among_pixels_is_named(folder: Path) -> None:
    found = read(folder, "path,label,x0,y0,x1,y1\n0.png,a,1,2,30,40\n1.png,a,0,0,1,1\n")
    assert [item.reason for item in found.skipped] == ["BAD_BOX"]


def test_a_long_field_is_read_and_the_bound_of_the_process_stays(folder: Path) -> None:
    before = csv.field_size_limit()
    note = "x" * (before + 1)
    assert labels(read(folder, f"note,path,label\n{note},0.png,cat\n,1.png,dog\n")) == PLAIN
    assert csv.field_size_limit() == before
