from __future__ import annotations

import csv
import json
import os
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from torchvision.transforms import InterpolationMode, v2

from audit.dataset import decoder
from audit.dataset import loader as loader_module
from audit.dataset.batches import iterate_batches
from audit.dataset.decoding import orient
from audit.dataset.foregrounds import FOREGROUNDS, chosen_source, open_foreground
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.loading import LoadedSample, load_sample
from audit.dataset.readers import READERS, read_dataset
from audit.dataset.sample_table import sample_of, samples_table
from audit.dataset.samples import Sample
from audit.errors import AuditError, DatasetError, ManifestError, SampleError
from audit.geometry import Geometry

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
WHOLE = Geometry(16, None, "none", "nearest")


def picture(path: Path, size: tuple[int, int] = (16, 12), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(str(path)))
    Image.fromarray(random.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).convert(
        mode
    ).save(path)
    return path


def sample(path: Path, **more: object) -> Sample:
    return Sample(path.name, path, "a", **more)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 90),
    height=st.integers(8, 90),
    size=st.integers(8, 40),
    more=st.integers(0, 12),
)
def test_geometry_is_that_of_torchvision(width: int, height: int, size: int, more: int) -> None:
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=np.uint8))
    ours = Geometry(size, size + more).apply(image)
    resize = v2.Resize(size + more, InterpolationMode.BILINEAR, antialias=True)
    theirs = v2.Compose([resize, v2.CenterCrop(size)])(image)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_a_crop_larger_than_the_image_pads_as_torchvision_does() -> None:
    image = Image.fromarray(np.full((20, 30, 3), 200, np.uint8))
    ours = Geometry(33, 17).apply(image)
    theirs = v2.Compose([v2.Resize(17), v2.CenterCrop(33)])(image)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_image_and_mask_turn_alike(tmp_path: Path, orientation: int) -> None:
    # The object is white on black, so image and mask must show the same picture.
    drawn = np.zeros((12, 16), np.uint8)
    drawn[2:6, 3:13] = 255
    image = Image.fromarray(drawn).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    loaded = load_sample(
        sample(tmp_path / "a.png", mask=tmp_path / "mask.png"),
        WHOLE,
        open_foreground("mask_file", {}, tmp_path),
    )
    assert loaded.foreground is not None
    assert np.array_equal(loaded.image[..., 0] > 127, loaded.foreground == 1)
    with Image.open(tmp_path / "a.png") as stored:
        expected = ImageOps.exif_transpose(stored).resize((16, 16), Image.Resampling.NEAREST)
        assert np.array_equal(loaded.image, np.asarray(expected.convert("RGB")))
    assert orient(image, 1) is image


def test_boxes_turn_with_the_image_too(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    box = open_foreground("bounding_box", {}, tmp_path)
    loaded = load_sample(sample(tmp_path / "a.png", boxes=((0, 0, 10, 10),)), WHOLE, box)
    assert loaded.foreground is not None
    # Stored left half; turned by 90 degrees clockwise it becomes the upper half.
    assert loaded.foreground[:8].all()
    assert not loaded.foreground[8:].any()


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("size", [(20, 12), (16, 16)])
@pytest.mark.parametrize("kind", ["mask", "boxes"])
def test_outlines_lie_on_the_picture_that_is_declared(
    tmp_path: Path, orientation: int, size: tuple[int, int], kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, "green").save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        upright = ImageOps.exif_transpose(stored).size
    same_size = upright == size
    for drawn_on, drawn_size in (("upright", upright), ("stored", size)):
        pixels = np.zeros(drawn_size[::-1], np.uint8)
        pixels[2:5, 3:11] = 255
        mask = Image.fromarray(pixels)
        mask.save(tmp_path / "mask.png")
        more = {"mask": tmp_path / "mask.png"} if kind == "mask" else {"boxes": ((3, 2, 11, 5),)}
        source = "mask_file" if kind == "mask" else "bounding_box"
        turned = mask if drawn_on == "upright" else orient(mask, orientation)
        expected = np.asarray(WHOLE.apply(turned, is_mask=True)) > 0

        def load(options: dict[str, str]) -> LoadedSample:
            opened = open_foreground(source, options, tmp_path)  # noqa: B023
            return load_sample(sample(tmp_path / "a.png", **more), WHOLE, opened)  # noqa: B023

        told = load({"drawn_on": drawn_on})
        assert told.foreground is not None, told.foreground_problem
        assert np.array_equal(told.foreground == 1, expected)
        assert "MASK_ORIENTATION_AMBIGUOUS" not in told.notes
        untold = load({})
        assert untold.foreground is not None, untold.foreground_problem
        if kind == "mask" and not same_size:
            assert np.array_equal(untold.foreground == 1, expected)
            assert "MASK_ORIENTATION_AMBIGUOUS" not in untold.notes
        else:
            assert "MASK_ORIENTATION_AMBIGUOUS" in untold.notes


def test_a_mask_of_the_other_picture_than_declared_is_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 12), "green").save(tmp_path / "a.png", exif=exif)
    Image.new("L", (20, 12)).save(tmp_path / "mask.png")
    source = open_foreground("mask_file", {"drawn_on": "upright"}, tmp_path)
    loaded = load_sample(sample(tmp_path / "a.png", mask=tmp_path / "mask.png"), WHOLE, source)
    assert loaded.foreground_problem == "MASK_SIZE: the mask has 20 x 12 pixels, the image 12 x 20"
    with pytest.raises(ManifestError, match=r"foreground\.drawn_on: expected upright \| stored"):
        open_foreground("mask_file", {"drawn_on": "exif"}, tmp_path)


def test_mask_values_ignore_and_inverted(tmp_path: Path) -> None:
    drawn = np.array([[0, 1, 2, 255]] * 8, np.uint8).repeat(2, axis=1)
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    picture(tmp_path / "a.png", (8, 8))

    def row(**options: object) -> list[int]:
        source = open_foreground("mask_file", options, tmp_path)
        loaded = load_sample(
            sample(tmp_path / "a.png", mask=tmp_path / "mask.png"),
            Geometry(8, None, "none"),
            source,
        )
        assert loaded.foreground is not None
        return [int(v) for v in loaded.foreground[0, ::2]]

    assert row() == [0, 1, 1, 1]
    assert row(ignore=255) == [0, 1, 1, 255]
    assert row(values=[2]) == [0, 0, 1, 0]
    assert row(values=2, inverted=True, ignore=255) == [1, 1, 0, 255]


def test_a_mask_of_another_size_is_named_not_resized(tmp_path: Path) -> None:
    picture(tmp_path / "mask.png", (9, 9), "L")
    picture(tmp_path / "a.png", (16, 12))
    source = open_foreground("mask_file", {}, tmp_path)
    loaded = load_sample(sample(tmp_path / "a.png", mask=tmp_path / "mask.png"), WHOLE, source)
    assert loaded.foreground is None
    assert loaded.foreground_problem.startswith("MASK_SIZE: the mask has 9 x 9")


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (((-5.0, -5.0, 100.0, 100.0),), ""),
        (((30.0, 30.0, 40.0, 40.0),), "EMPTY_BOX"),
        (((3.0, 3.0, 3.0, 9.0),), "EMPTY_BOX"),
        (((float("nan"), 0.0, 1.0, 1.0),), "BOX_NOT_FINITE"),
        ((), "NO_BOX"),
    ],
)
def test_boxes_are_clipped_or_named(tmp_path: Path, box: object, reason: str) -> None:
    picture(tmp_path / "a.png")
    source = open_foreground("bounding_box", {}, tmp_path)
    loaded = load_sample(sample(tmp_path / "a.png", boxes=box), WHOLE, source)
    assert loaded.foreground_problem.partition(":")[0] == reason


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    loaded = load_sample(sample(tmp_path / "deep.png"), WHOLE, None)
    assert loaded.notes == ("HIGH_BIT_DEPTH_SCALED",)
    assert np.abs(loaded.image[..., 0].astype(int) - ramp / 257).max() <= 0.5


def test_float_pixels_that_are_not_finite_are_rejected(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16), np.float32)
    pixels[3, 3] = np.nan
    Image.fromarray(pixels).save(tmp_path / "nan.tiff")
    with pytest.raises(SampleError) as raised:
        load_sample(sample(tmp_path / "nan.tiff"), WHOLE, None)
    assert raised.value.reason == "NON_FINITE_PIXELS"


def _reason(path: Path, **more: object) -> str:
    with pytest.raises(SampleError) as raised:
        load_sample(sample(path), WHOLE, None, **more)  # type: ignore[arg-type]
    return raised.value.reason


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    whole = picture(tmp_path / "whole.png", (40, 40)).read_bytes()
    for name, content, reason in (
        ("empty.png", b"", "NOT_AN_ALLOWED_IMAGE"),
        ("page.jpg", b"<!DOCTYPE html><p>404", "NOT_AN_ALLOWED_IMAGE"),
        ("pointer.jpg", b"version https://git-lfs.github.com/spec/v1", "NOT_AN_ALLOWED_IMAGE"),
        ("cut.png", whole[: len(whole) // 2], "DATA_CORRUPT"),
    ):
        (tmp_path / name).write_bytes(content)
        assert _reason(tmp_path / name) == reason, name
    assert _reason(tmp_path / "missing.png") == "MISSING"
    assert _reason(tmp_path) == "NOT_A_FILE"
    os.mkfifo(tmp_path / "pipe.png")
    assert _reason(tmp_path / "pipe.png") == "NOT_A_FILE"
    assert _reason(picture(tmp_path / "tiny.png", (4, 40))) == "TOO_SMALL"
    assert _reason(picture(tmp_path / "long.png", (30_010, 8))) == "TOO_MANY_PIXELS"


def claims(path: Path, width: int, height: int) -> Path:
    """Write a PNG whose header claims another size."""
    content = bytearray(picture(path).read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(bytes(content))
    return path


def test_pixels_are_bounded_whatever_pillow_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = claims(tmp_path / "huge.png", 20_000, 20_000)
    with Loader(LoadingPlan(WHOLE), workers=1) as loader:
        (found,) = loader.load([(sample(huge), None)])
    assert isinstance(found, SampleError)
    assert found.reason == "TOO_MANY_PIXELS"
    assert "20000 x 20000 pixels by its header" in found.detail
    for bound in (None, 10**6, 10**8, Image.MAX_IMAGE_PIXELS):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
        assert _reason(huge) == "TOO_MANY_PIXELS"
        assert _reason(claims(tmp_path / "large.png", 10_000, 10_000)) == "TOO_MANY_PIXELS"


def test_a_partial_picture_is_refused_also_where_the_process_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = picture(tmp_path / "whole.png", (40, 40)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert _reason(tmp_path / "cut.png") == "DATA_CORRUPT"
    mask = open_foreground("mask_file", {}, tmp_path)
    found = load_sample(sample(tmp_path / "whole.png", mask=tmp_path / "cut.png"), WHOLE, mask)
    assert found.foreground_problem.startswith("MASK_DATA_CORRUPT")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_file_that_changed_is_not_scored(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    found = path.stat()
    since = (found.st_size, found.st_mtime_ns)
    load_sample(sample(path), WHOLE, None, since)
    picture(path, (30, 30))
    assert _reason(path, unchanged_since=since) == "CHANGED_DURING_RUN"
    path.unlink()
    assert _reason(path, unchanged_since=since) == "CHANGED_DURING_RUN"


def test_image_folder_lists_everything_once(tmp_path: Path) -> None:
    root = tmp_path / "images"
    picture(root / "cat" / "2.png")
    picture(root / "cat" / "10.png")
    picture(root / "dog" / "deep" / "er" / "1.JPG")
    (root / "empty").mkdir()
    (root / "cat" / "notes.txt").write_text("x")
    (root / "cat" / "._2.png").write_bytes(b"x")
    (root / ".ipynb_checkpoints").mkdir()
    (root / "dog" / "loop").symlink_to(root, target_is_directory=True)
    (root / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    picture(tmp_path / "outside.png")
    (root / "dog" / "out.png").symlink_to(tmp_path / "outside.png")
    found = read_dataset("image_folder", root, {})
    assert [s.sample_id for s in found.samples] == [
        "cat/10.png",
        "cat/2.png",
        "dog/deep/er/1.JPG",
    ]
    assert found.class_names == ["cat", "dog", "empty"]
    reasons = sorted(s.reason for s in found.skipped)
    assert reasons.count("OUTSIDE_ROOT") == 1
    assert {"DANGLING_LINK", "EMPTY_CLASS", "IGNORED_FILE", "NOT_AN_IMAGE_NAME"} <= set(reasons)


def test_a_table_of_text_boxes_and_masks(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    with (tmp_path / "index.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["path", "label", "mask", "x_min", "y_min", "x_max", "y_max", "camera"])
        writer.writerow(["a.png", "007", "m.png", "1", "2", "3", "4", "left"])
        writer.writerow(["a.png", "007", "m.png", "5", "6", "7", "8", "left"])
        writer.writerow(["b.png", "NA", "", "", "", "", "", ""])
        writer.writerow(["../c.png", "NA", "", "", "", "", "", ""])
        writer.writerow(["c.png", "NA", "", "one", "2", "3", "4", ""])
    found = read_dataset("csv_index", tmp_path, {})
    first, second = found.samples
    assert (first.label_name, second.label_name) == ("007", "NA")
    assert first.boxes == ((1, 2, 3, 4), (5, 6, 7, 8))
    assert first.mask == tmp_path / "m.png"
    assert first.metadata == {"camera": "left"}
    assert second.mask is None
    assert {s.reason for s in found.skipped} == {"OUTSIDE_ROOT", "BAD_BOX"}


def test_a_column_of_box_lists_and_a_parquet_table(tmp_path: Path) -> None:
    import pandas as pd

    picture(tmp_path / "a.png")
    boxes = json.dumps([[1, 2, 3, 4], [5, 6, 7, 8]])
    table = pd.DataFrame({"file": ["a.png"], "breed": ["pug"], "boxes_xyxy": [boxes]})
    table.to_parquet(tmp_path / "list.parquet")
    options = {"index": "list.parquet", "path_column": "file", "label_column": "breed"}
    (only,) = read_dataset("csv_index", tmp_path, options).samples
    assert only.boxes == ((1, 2, 3, 4), (5, 6, 7, 8))
    with pytest.raises(DatasetError, match="no column 'path'; found: file, breed"):
        read_dataset("csv_index", tmp_path / "list.parquet", {})


@pytest.mark.parametrize("reader", READERS)
def test_readers_refuse_unknown_options_and_missing_folders(reader: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"dataset\.colour: unknown option"):
        read_dataset(reader, tmp_path, {"colour": 1})
    with pytest.raises(DatasetError):
        read_dataset(reader, tmp_path / "missing", {})


@pytest.mark.parametrize("source", FOREGROUNDS)
def test_foregrounds_refuse_unknown_options(source: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"foreground\.colour: unknown option"):
        open_foreground(source, {"colour": 1}, tmp_path)


def test_the_source_is_what_samples_carry() -> None:
    assert chosen_source(None, masks=False, boxes=False) == "none"
    assert chosen_source(None, masks=False, boxes=True) == "bounding_box"
    assert chosen_source(None, masks=True, boxes=True) == "mask_file"
    with pytest.raises(ManifestError, match="bounding_box needs boxes"):
        chosen_source("bounding_box", masks=True, boxes=False)


def test_the_list_of_samples_keeps_odd_names(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.png")
    table = samples_table([sample(odd, boxes=((1, 2, 3, 4),))], [0])
    (row,) = table.itertuples()
    again = sample_of(row)
    assert again.path == odd
    assert again.boxes == ((1, 2, 3, 4),)


def test_a_crash_and_a_hang_cost_one_image_each(tmp_path: Path) -> None:
    (tmp_path / "nasty.py").write_text(
        "import os, time\n"
        "def mask(sample, *, size):\n"
        "    if 'crash' in sample.sample_id: os.kill(os.getpid(), 11)\n"
        "    if 'hang' in sample.sample_id: time.sleep(60)\n"
        "    return [[True] * size[1]] * size[0]\n"
    )
    names = ["1.png", "crash.png", "2.png", "hang.png", "3.png"]
    samples = [(sample(picture(tmp_path / name)), None) for name in names]
    plan = LoadingPlan(WHOLE, "nasty:mask", {}, tmp_path)
    with Loader(plan, workers=2, timeout=2.0) as loader:
        found = list(loader.load(samples))
    codes = [r.reason if isinstance(r, SampleError) else "ok" for r in found]
    assert codes == ["ok", "DECODER_CRASH", "ok", "TIMEOUT", "ok"]


def test_a_decoder_ended_from_outside_costs_no_image(tmp_path: Path) -> None:
    (tmp_path / "killed_once.py").write_text(
        "import os, pathlib, time\n"
        "def mask(sample, *, size):\n"
        "    met = pathlib.Path(str(sample.path) + '.met')\n"
        "    if 'killed' in sample.sample_id and not met.exists():\n"
        "        met.touch()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    if 'late' in sample.sample_id and not met.exists():\n"
        "        met.touch()\n"
        "        time.sleep(60)\n"
        "    return [[True] * size[1]] * size[0]\n"
    )
    names = ["1.png", "killed.png", "2.png", "late.png", "3.png"]
    samples = [(sample(picture(tmp_path / name)), None) for name in names]
    plan = LoadingPlan(WHOLE, "killed_once:mask", {}, tmp_path)
    with Loader(plan, workers=2, timeout=2.0) as loader:
        found = list(loader.load(samples))
    assert not [r for r in found if isinstance(r, SampleError)]


def test_a_decoder_ended_while_it_starts_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, plain = [9, 9], decoder.subprocess.Popen

    def popen(*given: Any, **options: Any) -> Any:
        process = plain(*given, **options)
        if ended:
            process.send_signal(ended.pop())
        return process

    monkeypatch.setattr(decoder.subprocess, "Popen", popen)
    monkeypatch.setattr(decoder.time, "sleep", lambda _: None)
    samples = [(sample(picture(tmp_path / "1.png")), None)]
    with Loader(LoadingPlan(WHOLE), workers=1) as loader:
        assert isinstance(next(loader.load(samples)), LoadedSample)
    assert not ended
    ended += [9, 9, 9]
    with (
        Loader(LoadingPlan(WHOLE), workers=1) as loader,
        pytest.raises(AuditError, match="could be started in 3 attempts"),
    ):
        next(loader.load(samples))


def test_blocks_within_blocks_share_children_which_end_with_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    start = loader_module.start_decoder

    def noted(plan: LoadingPlan) -> Any:
        started.append(start(plan))
        return started[-1]

    monkeypatch.setattr(loader_module, "start_decoder", noted)
    asked = [(sample(picture(tmp_path / f"{i}.png")), None) for i in range(6)]
    loader = Loader(LoadingPlan(WHOLE), workers=1)
    for times in (1, 2):
        with loader:
            with loader:
                # Left half-way: the rest is not decoded for nobody.
                assert isinstance(next(loader.load(asked)), LoadedSample)
            with loader:
                assert len(list(loader.load(asked))) == 6
            assert started[-1].process.poll() is None
        assert len(started) == times
        assert started[-1].process.poll() is not None


def test_no_child_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    path = picture(tmp_path / "1.png")
    script = (
        "import time\nfrom pathlib import Path\n"
        "from audit.dataset.loader import Loader, LoadingPlan\n"
        "from audit.dataset.samples import Sample\nfrom audit.geometry import Geometry\n"
        "with Loader(LoadingPlan(Geometry(16, None, 'none')), 1) as loader:\n"
        f"    next(loader.load([(Sample('1', Path({str(path)!r}), 'a'), None)]))\n"
        "    print(loader._idle.get().process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = Path(f"/proc/{int(parent.stdout.readline())}/stat")
    assert child.exists()
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    # Nobody may be there to take note of its end.
    while child.exists() and ") Z " not in child.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_batches_hold_all_rows_in_order(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{i:02d}.png") for i in range(7)]
    paths[3].write_bytes(b"no image")
    table = samples_table([sample(p) for p in paths], list(range(7)))
    with Loader(LoadingPlan(WHOLE), workers=2) as loader:
        batches = list(iterate_batches(table, loader, 3))
    assert [b.rows for b in batches] == [(0, 1, 2), (4, 5), (6,)]
    assert [position for b in batches for position, _ in b.unreadable] == [3]
    assert batches[1].targets.tolist() == [4, 5]
    assert batches[0].images.dtype == torch.uint8
    assert batches[0].images.shape == (3, 3, 16, 16)
    assert not batches[0].has_foreground.any()


@pytest.mark.skipif(
    not (SHARED / "hostile_images.tar.gz").exists(), reason="the hostile corpus is not here"
)
def test_hostile_images_become_what_the_corpus_says(tmp_path: Path) -> None:
    with tarfile.open(SHARED / "hostile_images.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    with (folder / "MANIFEST.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    samples = [(sample(folder / row["file"]), None) for row in rows]
    with Loader(LoadingPlan(WHOLE), workers=2) as loader:
        found = list(loader.load(samples))
    assert len(found) == len(rows) == 1500
    differ = {}
    for row, result in zip(rows, found, strict=True):
        ours = f"REJECT {result.reason}" if isinstance(result, SampleError) else "ok"
        if ours != row["reference_verdict"]:
            differ[row["file"]] = (row["reference_verdict"], ours)
    # A float TIFF that the reference refuses and we scale; a WebP whose header Pillow cannot read.
    assert set(differ) <= {"pillow/1127.tiff", "gofuzz-webp/0249"}, differ
