"""What is said of masks, with numbers, and which of it makes a suspicion need other outlines."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from audit.dataset.mask_findings import MASK_COLUMNS, are_doubtful, mask_findings, mask_rows
from audit.findings import Code
from audit.report.sentences import english

SIDE = 40


def blob(random: np.random.Generator, radius: float = 8.0) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    top, left = random.integers(12, 28, 2)
    return (y - top) ** 2 + (x - left) ** 2 < radius**2


def table(masks: Sequence[np.ndarray], notes: Sequence[Sequence[str]] = ()) -> pd.DataFrame:
    batch: Any = SimpleNamespace(
        # What is marked is bright: its rim is where the picture changes.
        images=torch.from_numpy(np.stack(masks)[:, None] * np.uint8(200)).expand(-1, 3, -1, -1),
        foreground=torch.from_numpy(np.stack(masks)),
        ids=[str(i) for i in range(len(masks))],
        label_names=["cat"] * len(masks),
        loaded=[SimpleNamespace(notes=n) for n in notes or [()] * len(masks)],
    )
    held: pd.DataFrame = pa.Table.from_pylist(mask_rows(batch), MASK_COLUMNS).to_pandas()
    return held


def told(masks: pd.DataFrame, source: str = "mask_file") -> dict[Code, tuple[int, int]]:
    found = [dict(reason) for reason in mask_findings(masks, source)]
    return {
        one["code"]: (one["values"]["images"], one["values"]["of"])
        for one in found
        if one["code"] is not Code.MASK_AREAS
    }


@pytest.fixture
def good() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [blob(random) for _ in range(20)]


def test_of_good_masks_only_the_areas_are_said(good: list[np.ndarray]) -> None:
    (only,) = mask_findings(table(good), "mask_file")
    assert only.code is Code.MASK_AREAS
    assert dict(only)["values"]["area"] == pytest.approx(np.pi * 64 / SIDE**2, rel=0.1)
    assert not are_doubtful((only,))
    assert "12" in english(only)


def box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    drawn = np.zeros_like(mask)
    drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return drawn


@pytest.mark.parametrize(
    ("change", "code", "count", "doubtful"),
    [
        (lambda m, i: m & (i >= 4), Code.MASKS_EMPTY, 4, False),
        (lambda m, i: m & (i >= 12), Code.MASKS_EMPTY, 12, True),
        (lambda m, i: m | (i < 2), Code.MASKS_FULL, 2, False),
        (lambda m, i: m & (np.cumsum(m.ravel()).reshape(m.shape) < 6), Code.MASKS_TINY, 20, True),
        (lambda m, i: ~m, Code.MASKS_INVERTED, 20, True),
        (lambda m, i: blob(np.random.default_rng(0)), Code.MASKS_ALIKE, 20, True),
        (lambda m, i: box(m), Code.MASKS_ARE_BOXES, 20, True),
        (
            lambda m, i: m | (np.arange(SIDE) < 12)[:, None] & (np.arange(SIDE) < 30 + i % 5),
            Code.MASKS_AT_BORDER,
            20,
            False,
        ),
    ],
)
def test_what_is_odd_is_counted(
    good: list[np.ndarray], change: Any, code: Code, count: int, doubtful: bool
) -> None:
    masks = table([change(mask, i) for i, mask in enumerate(good)])
    assert told(masks)[code] == (count, 20)
    found = mask_findings(masks, "mask_file")
    assert are_doubtful(found) == doubtful
    for reason in found:
        said = english(reason)
        assert "no words" not in said
        assert reason.code is Code.MASK_AREAS or f"{count} of 20" in said or reason.code is not code


@pytest.mark.parametrize(
    ("note", "code", "doubtful"),
    [
        ("MASK_MANY_VALUES", Code.MASKS_OF_MANY_VALUES, False),
        ("MASK_THRESHOLDED", Code.MASKS_CUT_AT_HALF, False),
        ("MASK_ORIENTATION_AMBIGUOUS", Code.MASKS_MAYBE_TURNED, True),
    ],
)
def test_notes_are_counted(good: list[np.ndarray], note: str, code: Code, doubtful: bool) -> None:
    masks = table(good, [[note] if i < 3 else [] for i in range(20)])
    assert told(masks) == {code: (3, 20)}
    assert are_doubtful(mask_findings(masks, "mask_file")) == doubtful


def test_that_boxes_are_boxes_is_not_said(good: list[np.ndarray]) -> None:
    assert told(table([box(mask) for mask in good]), "bounding_box") == {}


def test_nothing_is_said_of_no_masks() -> None:
    nothing = table([np.zeros((SIDE, SIDE), bool)] * 2)
    assert told(nothing) == {Code.MASKS_EMPTY: (2, 2)}
