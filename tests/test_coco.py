"""COCO's instances: labels by rule, outlines by reference, hostile annotations as reasons."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from audit.dataset import json_spans
from audit.dataset.batches import iterate_batches
from audit.dataset.content_store import ContentStore
from audit.dataset.contents import hash_contents
from audit.dataset.foregrounds import chosen_source, open_foreground
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.loading import LoadedSample, load_sample
from audit.dataset.readers import Dataset, read_dataset
from audit.dataset.sample_table import stamp_foregrounds
from audit.dataset.shapes import decode_runs, fill_polygon
from audit.errors import DatasetError, ManifestError, SampleError
from audit.geometry import Geometry

# Of pycocotools under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

SIZE = (60, 40)
CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 17, "name": "Hündin"}]
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]


def annotation(number: int, image: int, category: int, segment: Any, **more: Any) -> dict[str, Any]:
    x, y, width, height = 10, 5, 20, 20
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segment,
        "bbox": [x, y, width, height],
        "area": 400,
        "iscrowd": 0,
        **more,
    }


def write(folder: Path, annotations: list[dict[str, Any]], count: int = 3, **more: Any) -> Path:
    """A dataset as COCO lays it out: annotations/instances_val.json and val/."""
    for name in ("annotations", "val"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    images = []
    for number in range(count):
        name = f"{number:012d}.png"
        Image.new("RGB", SIZE, "green").save(folder / "val" / name)
        images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
    content = {"info": {}, "images": images, "annotations": annotations, "categories": CATEGORIES}
    path = folder / "annotations" / "instances_val.json"
    path.write_text(json.dumps({**content, **more}, ensure_ascii=False), encoding="utf-8")
    return folder


def load(found: Dataset, index: int, folder: Path, **options: Any) -> LoadedSample:
    source = open_foreground("coco_segments", options, folder)
    sample = list(found.samples)[index]
    return load_sample(sample, Geometry(40, None, "none", "nearest"), source)


def read(folder: Path, **options: Any) -> Dataset:
    return read_dataset("coco", folder, options)


def test_labels_by_rule(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            annotation(1, 0, 3, [SQUARE], area=100),
            annotation(2, 0, 17, [SQUARE], area=300),
            annotation(3, 1, 3, [SQUARE]),
            annotation(4, 9, 3, [SQUARE]),
        ],
    )

    def labels(**options: Any) -> list[str]:
        return [sample.label_name for sample in read(tmp_path, **options).samples]

    assert labels() == ["Hündin", "cat"]
    assert labels(label="only") == ["cat"]
    assert labels(label="listed", classes=["cat", "Hündin"]) == ["cat", "cat"]
    assert labels(classes=["cat"]) == ["cat", "cat"]
    # Counted both ways: an image without annotations, annotations without their image.
    reasons = [(item.path, item.reason) for item in read(tmp_path).skipped]
    assert reasons == [("000000000002.png", "NO_ANNOTATION"), ("image_id 9", "UNKNOWN_IMAGE")]
    with pytest.raises(ManifestError, match=r"dataset\.label: expected largest \| only \| listed"):
        read(tmp_path, label="first")
    with pytest.raises(ManifestError, match=r"needs dataset\.classes"):
        read(tmp_path, label="listed")


def test_polygons_runs_and_crowds_are_those_of_pycocotools(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    coder = pytest.importorskip("pycocotools.mask")
    drawn = np.zeros(SIZE[::-1], np.uint8, order="F")
    drawn[12:31, 22:55] = 1
    drawn[15:20, 30:40] = 0
    compressed = coder.encode(drawn)
    compressed["counts"] = compressed["counts"].decode()
    plain = {"size": list(drawn.shape), "counts": [45 * 40, 5 * 40, 10 * 40]}
    write(
        tmp_path,
        [
            annotation(1, 0, 3, [[5.5, 4.2, 41.3, 9.9, 30.1, 36.4], SQUARE]),
            annotation(2, 1, 3, compressed),
            annotation(3, 2, 3, [SQUARE]),
            annotation(4, 2, 3, plain, iscrowd=1),
        ],
    )
    theirs = coco.COCO(str(tmp_path / "annotations" / "instances_val.json"))
    found = read(tmp_path)
    for index, annotation_id in enumerate((1, 2, 3)):
        loaded = load(found, index, tmp_path)
        assert loaded.foreground is not None, loaded.foreground_problem
        mask = theirs.annToMask(theirs.anns[annotation_id])
        expected = np.asarray(Image.fromarray(mask).resize((40, 40), Image.Resampling.NEAREST)) > 0
        ours = loaded.foreground == 1
        assert (ours & expected).sum() / (ours | expected).sum() > 0.97
    assert (loaded.foreground == 255).any()
    whole = load(found, 2, tmp_path, crowd="object").foreground
    assert whole is not None
    assert not (whole == 255).any()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=12, max_size=12), st.integers(0, 2**32 - 1))
def test_runs_decode_as_they_were_encoded(few: list[bool], seed: int) -> None:
    coder = pytest.importorskip("pycocotools.mask")
    for mask in (np.array(few).reshape(3, 4), np.random.default_rng(seed).random((31, 17)) < 0.1):
        encoded = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert np.array_equal(decode_runs(encoded["counts"].decode(), mask.shape), mask)


def _distance_to_outline(points: list[float], side: int) -> NDArray[np.float64]:
    """How far the middle of each pixel lies from the nearest edge of a polygon, in pixels."""
    corners = np.reshape(points, (-1, 2))
    middles = np.stack(np.meshgrid(*[np.arange(side) + 0.5] * 2), -1)
    far = np.full((side, side), np.inf)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge = end - start
        along = ((middles - start) @ edge) / max(float(edge @ edge), 1e-12)
        nearest = start + np.clip(along, 0, 1)[..., None] * edge
        far = np.minimum(far, np.linalg.norm(middles - nearest, axis=-1))
    return far


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1, 38), min_size=6, max_size=12).filter(lambda p: len(p) % 2 == 0))
@example([1.0, 12.0, 1.0, 1.0, 12.25, 8.25, 1.0, 10.375, 21.0, 6.75])
def test_a_polygon_is_what_pycocotools_fills_but_for_the_pixels_on_its_edges(
    points: list[float],
) -> None:
    coder = pytest.importorskip("pycocotools.mask")
    theirs = coder.decode(coder.merge(coder.frPyObjects([points], 40, 40))).astype(bool)
    ours = fill_polygon(points, (40, 40))
    # Also where an outline crosses itself: inside and outside alike.
    surely = _distance_to_outline(points, 40) > 1.5
    assert np.array_equal(theirs[surely], ours[surely])


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ([[float("nan"), 1, 2, 3, 4, 5]], "BAD_SEGMENT"),
        ([[1e12, 1, 2, 3, 4, 5]], "BAD_SEGMENT"),
        ([[10**400, 1, 2, 3, 4, 5]], "BAD_SEGMENT"),
        ([[1, 2, 3]], "BAD_SEGMENT"),
        ([["1", "2", "3", "4", "5", "6"]], "BAD_SEGMENT"),
        ([[-500, -500, -400, -500, -400, -400]], "EMPTY_SEGMENT"),
        ([], "NO_SEGMENT"),
        (None, "NO_SEGMENT"),
        ({"size": [40, 60], "counts": [5, 5]}, "BAD_SEGMENT"),
        ({"size": [40, 60], "counts": [-5, 2405]}, "BAD_SEGMENT"),
        ({"size": [60, 40], "counts": [2400]}, "MASK_SIZE"),
        ({"size": [40, 60], "counts": "\x7f\x7f"}, "BAD_SEGMENT"),
        ({"size": [40, 60], "counts": "oooooooooooooo"}, "BAD_SEGMENT"),
        ({"size": [40, 60]}, "BAD_SEGMENT"),
    ],
)
def test_hostile_segments_end_as_reasons(tmp_path: Path, segment: Any, reason: str) -> None:
    write(tmp_path, [annotation(1, 0, 3, segment, area=float("nan"), bbox=[float("inf")] * 4)])
    loaded = load(read(tmp_path), 0, tmp_path)
    assert loaded.foreground_problem.partition(":")[0] == reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [\n{"id": 1, "file_name": "a.png"},,]}', "line 2, column"),
        ("[1, 2]", "line 1, column 1"),
        ('{"images": [' + "[" * 200_000, "nested too deeply"),
        ('{"images": [{"id": ' + "9" * 5000 + "}]}", "not valid JSON"),
        ('{"annotations": []}', "lists no images"),
        ("", "line 1"),
        ('{"images": []} x', "Extra data"),
    ],
)
def test_files_that_are_no_coco_stop_with_line_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("is_ascii", [False, True])
def test_a_file_read_in_windows_has_the_values_and_places_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, is_ascii: bool
) -> None:
    path = tmp_path / "a.json"
    several = [0, -1.5e-300, 10**30, math.nan, -math.inf, [], {}, "", 'a"b\\', "né 象 \u2028", None]
    content = {"é": several, "none": [], "deep": [{"a": [[1, {"b": [True, "]}"]}]]}] * 3, "n": 12.5}
    stored = json.dumps(content, indent=indent, ensure_ascii=is_ascii).encode()
    wanted = [
        (key, element)
        for key, value in content.items()
        for element in (value if isinstance(value, list) else [value])
    ]
    # So short that an edge falls upon every place.
    monkeypatch.setattr(json_spans, "_EDGE", 8)
    for length in range(1, 40):
        monkeypatch.setattr(json_spans, "_AT_ONCE", length)
        path.write_bytes(stored)
        found = list(json_spans.spans(path))
        assert repr([(key, value) for key, value, _, _ in found]) == repr(wanted)
        parts = [json.loads(stored[start : start + length]) for _, _, start, length in found]
        assert repr(parts) == repr([value for _, value in wanted])
        path.write_bytes(stored[:-length])
        with pytest.raises(DatasetError, match="not valid JSON"):
            list(json_spans.spans(path))


def test_a_fault_far_into_a_file_is_named_by_line_and_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(
        {"images": [{"id": i, "file_name": f"{i}.png"} for i in range(200)]}, indent=1
    )
    text = text.replace('"150.png"', '"150.png" "x"')
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(json.JSONDecodeError) as wanted:
        json.loads(text)
    monkeypatch.setattr(json_spans, "_AT_ONCE", 100)
    said = f"{wanted.value.msg} at line {wanted.value.lineno}, column {wanted.value.colno}."
    with pytest.raises(DatasetError, match=said):
        list(json_spans.spans(tmp_path / "a.json"))


def test_entries_that_cannot_be_are_rows_of_the_problems(tmp_path: Path) -> None:
    write(tmp_path, [annotation(1, 0, 3, [SQUARE]), {"image_id": 1}, annotation(2, 1, [], [])])
    path = tmp_path / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    content["images"] += [
        {"id": 5, "file_name": "../../../etc/passwd"},
        {"id": 6, "file_name": "/etc/passwd"},
        {"id": 7, "file_name": 7},
        {"id": 0, "file_name": "again.png"},
        "text",
    ]
    content["annotations"] += [annotation(8, 5, 3, [SQUARE]), annotation(9, 6, 3, [SQUARE])]
    path.write_text(json.dumps(content))
    found = read(tmp_path)
    assert len(found.table) == 1
    reasons = [item.reason for item in found.skipped]
    assert reasons.count("OUTSIDE_ROOT") == 2
    assert reasons.count("BAD_ENTRY") == 4
    assert reasons.count("DUPLICATE_ID") == 1


def test_outlines_travel_to_the_decoding_children_by_reference(tmp_path: Path) -> None:
    far = [[*SQUARE, *[v for i in range(5000) for v in (10 + i % 20, 5 + i % 20)]]]
    write(tmp_path, [annotation(n, n % 3, 3, far) for n in range(9)])
    found = read(tmp_path)
    assert found.outlines == "coco_segments"
    source = chosen_source(None, masks=False, boxes=True, outlines=found.outlines)
    assert source == "coco_segments"
    assert found.table["annotation"].str.len().max() < 400
    table = found.table.assign(label=0)
    stamp_foregrounds(table, open_foreground(source, {}, tmp_path))
    with Loader(LoadingPlan(Geometry(40, None, "none"), source, {}, tmp_path), 1) as loader:
        (batch,) = iterate_batches(table, loader, 3)
        assert batch.foreground.flatten(1).any(1).all()
        path = tmp_path / "annotations" / "instances_val.json"
        path.write_text(path.read_text() + " ")
        (again,) = iterate_batches(table, loader, 3)
    problems = {one.foreground_problem.partition(":")[0] for one in again.loaded}
    assert problems == {"MASK_CHANGED_DURING_RUN"}


def test_boxes_come_along_as_corners(tmp_path: Path) -> None:
    write(tmp_path, [annotation(1, 0, 3, [SQUARE])])
    (sample,) = read(tmp_path).samples
    assert sample.boxes == ((10, 5, 30, 25),)
    box = open_foreground("bounding_box", {}, tmp_path)
    loaded = load_sample(sample, Geometry(40, None, "none", "nearest"), box)
    assert loaded.foreground is not None
    assert (loaded.foreground == 1).mean() == pytest.approx(400 / 2400, abs=0.01)


def test_runs_longer_than_any_picture_need_no_memory() -> None:
    with pytest.raises(SampleError, match="add up"):
        decode_runs([10**15, 10**15], (40, 60))


def test_a_file_for_detection_has_boxes_for_foregrounds(tmp_path: Path) -> None:
    plain = annotation(1, 0, 3, [])
    del plain["segmentation"]
    write(tmp_path, [plain, annotation(2, 1, 3, [])])
    found = read(tmp_path)
    assert found.outlines is None
    boxes = bool((found.table["boxes"] != "[]").any())
    assert chosen_source(None, masks=False, boxes=boxes, outlines=found.outlines) == "bounding_box"
    # One outline among them, and outlines are what is meant.
    write(tmp_path, [plain, annotation(2, 1, 3, [SQUARE])])
    assert read(tmp_path).outlines == "coco_segments"


def test_of_a_shared_file_each_image_has_what_is_said_of_it(tmp_path: Path) -> None:
    def hashes(*segments: list[list[int]]) -> list[str]:
        write(tmp_path, [annotation(n, n, 3, held) for n, held in enumerate(segments)])
        table = read(tmp_path).table
        foreground = open_foreground("coco_segments", {}, tmp_path)
        hash_contents(table, foreground, ContentStore(tmp_path / "contents.sqlite"))
        held: list[str] = table["mask_sha256"].tolist()
        return held

    other = [[10, 5, 30, 5, 30, 25, 10, 24]]
    before, after = hashes([SQUARE], [SQUARE], [SQUARE]), hashes([SQUARE], other, [SQUARE])
    assert len(set(before)) == 3
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
