"""HEIC: read through its plug-in, named where that is missing; AVIF needs none."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from audit.dataset.decoding import Picture, decode
from audit.dataset.readers import read_dataset
from audit.errors import SampleError

HEADER = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def halves() -> Image.Image:
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :48] = (230, 20, 20)
    return Image.fromarray(pixels)


def saved(path: Path, **more: Any) -> Picture:
    halves().save(path, **more)
    return decode(path.read_bytes(), path)


def reason(content: bytes) -> str:
    with pytest.raises(SampleError) as caught:
        decode(content, Path("a.heic"))
    return str(caught.value)


def test_without_the_plug_in_a_heic_file_is_a_row_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "IMG_1.HEIC").write_bytes(HEADER + bytes(100))
    found = read_dataset("image_folder", tmp_path, {})
    assert list(found.table["sample_id"]) == ["cat/IMG_1.HEIC"]
    assert not found.skipped
    said = reason(HEADER + bytes(100))
    assert "a HEIC picture: pip install 'saliency-audit[heif]'" in said


def test_avif_needs_no_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    found = saved(tmp_path / "a.avif", quality=95)
    assert (found.image.size, found.notes) == ((96, 64), ())
    assert np.abs(np.asarray(found.image, int) - np.asarray(halves(), int)).mean() < 8


def test_heic_is_decoded_and_turned_upright_once(tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    found = saved(tmp_path / "a.heic", quality=95)
    assert (found.image.size, found.notes) == ((96, 64), ())
    assert np.abs(np.asarray(found.image, int) - np.asarray(halves(), int)).mean() < 8
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(tmp_path / "turned.heic", quality=95, exif=exif.tobytes())
    assert turned.image.size == (64, 96)
    wanted = np.asarray(halves().transpose(Image.Transpose.ROTATE_270), int)
    assert np.abs(np.asarray(turned.image, int) - wanted).mean() < 8


def test_hostile_heic_files_end_as_reasons(tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    halves().save(tmp_path / "a.heic")
    whole = (tmp_path / "a.heic").read_bytes()
    assert "HEADER_CORRUPT" in reason(HEADER + bytes(100)) or "NOT_AN" in reason(HEADER)
    for cut in range(12, len(whole) - 1, 37):
        assert reason(whole[:cut])
    random = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(12, len(whole), 8):
            content[place] = random.integers(256)
        # A picture or a reason; nothing else is raised.
        with suppress(SampleError):
            decode(bytes(content), Path("a.heic"))
