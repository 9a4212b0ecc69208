"""What the masks of a dataset look like, all sources alike: indicators, with their numbers.

Measured on the model's input, where they count; nothing here changes a mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from audit.dataset.batches import Batch
from audit.dataset.outline_edges import edge_ranks, least_supported
from audit.findings import Code, Reason

MASK_COLUMNS: Final = pa.schema(
    [
        ("sample_id", pa.string()),
        ("label_name", pa.string()),
        ("area", pa.float64()),  # of the input, 0..1; 0 where there is no mask
        ("border", pa.float64()),  # of the outermost pixels, 0..1, those that are object
        ("filling", pa.float64()),  # of the mask's own box, 0..1; null without a mask
        ("digest", pa.string()),  # equal for equal masks; null without one
        ("notes", pa.list_(pa.string())),
        (
            "edges",
            pa.list_(pa.float64()),
        ),  # rank of the edge at its rim, by side and offset, or null
        ("overlap", pa.float64()),  # intersection over union with the other outline, 0..1, or null
    ]
)
"""Of ``masks.parquet``: a row a sample that was looked at."""

TINY = 0.005
"""Area below which a mask holds hardly an object."""
FULL = 0.95
_AT_BORDER = 0.25
_ALL_BORDER = 0.95
_BOX = 0.99
_FEWEST = 3


class MaskRow(TypedDict):
    """A row with :data:`MASK_COLUMNS`, before it is compared with another outline."""

    sample_id: str
    label_name: str
    area: float
    border: float
    filling: float | None
    digest: str | None
    notes: list[str]
    edges: list[float] | None


def mask_rows(batch: Batch) -> list[MaskRow]:
    """A row with :data:`MASK_COLUMNS` for each readable sample of a batch."""
    rows: list[MaskRow] = []
    for index, mask in enumerate(batch.foreground.numpy()):
        some = bool(mask.any())
        rows.append(
            {
                "sample_id": batch.ids[index],
                "label_name": batch.label_names[index],
                "area": float(mask.mean()),
                "border": float(_border(mask).mean()),
                "filling": _share_of_box(mask) if some else None,
                "digest": hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]
                if some
                else None,
                "notes": [note for note in batch.loaded[index].notes if note.startswith("MASK_")],
                "edges": edge_ranks(batch.images[index], batch.foreground[index]).ravel().tolist()
                if some
                else None,
            }
        )
    return rows


def overlaps(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float | None:
    """Intersection over union of two masks ``(H, W)``; None where either is empty.

    Examples
    --------
    >>> overlaps(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.3333333333333333
    """
    if not one.any() or not other.any():
        return None
    return float((one & other).sum() / (one | other).sum())


def compared(masks: pd.DataFrame, by: str) -> tuple[Reason, ...]:
    """How far the outlines agree with others of the same images; nothing where none were compared.

    Parameters
    ----------
    masks : DataFrame
        Rows with :data:`MASK_COLUMNS`.
    by : str
        Whose the others are: ``reference`` or ``second``.
    """
    known = masks[masks["overlap"].notna()]
    if known.empty:
        return ()
    means = known.groupby("label_name")["overlap"].mean().sort_values(kind="stable")
    values: dict[str, int | float | str | None] = {
        "by": by,
        "overlap": float(known["overlap"].mean()),
        "images": len(known),
        "class": str(means.index[0]),
        "least": float(means.iloc[0]),
    }
    return (Reason(code=Code.OUTLINES_COMPARED, values=values),)


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def _share_of_box(mask: NDArray[np.bool_]) -> float:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return float(mask.sum() / box)


def _noted(code: str) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    return lambda masks: masks["notes"].map(lambda notes: code in list(notes))


def _alike(masks: pd.DataFrame) -> pd.Series[bool]:
    """Those that are the most frequent mask, of any class."""
    counted = masks["digest"].value_counts()
    return masks["digest"] == (counted.index[0] if len(counted) else None)


_ASKED: Mapping[Code, tuple[Callable[[pd.DataFrame], pd.Series[bool]], float, bool]] = {
    Code.MASKS_EMPTY: (lambda masks: masks["area"] == 0, 0.0, False),
    Code.MASKS_FULL: (lambda masks: masks["area"] >= FULL, 0.0, False),
    Code.MASKS_TINY: (lambda masks: masks["area"].between(0, TINY, inclusive="right"), 0.1, True),
    Code.MASKS_INVERTED: (
        lambda masks: (masks["border"] >= _ALL_BORDER) & (masks["area"] < FULL),
        0.1,
        True,
    ),
    Code.MASKS_AT_BORDER: (lambda masks: masks["border"] >= _AT_BORDER, 0.5, False),
    Code.MASKS_ALIKE: (_alike, 0.5, True),
    Code.MASKS_ARE_BOXES: (lambda masks: masks["filling"] >= _BOX, 0.8, True),
    Code.MASKS_OF_MANY_VALUES: (_noted("MASK_MANY_VALUES"), 0.0, False),
    Code.MASKS_CUT_AT_HALF: (_noted("MASK_THRESHOLDED"), 0.0, False),
    Code.MASKS_MAYBE_TURNED: (_noted("MASK_ORIENTATION_AMBIGUOUS"), 0.0, True),
}
"""What is asked of each mask, above which share of them it is said, and whether it is a doubt."""
FEW = 0.5
"""Share of images without a mask from which the masks are few."""


def mask_findings(masks: pd.DataFrame, source: str) -> tuple[Reason, ...]:
    """What must be known of the masks, the most general first.

    Parameters
    ----------
    masks : DataFrame
        Rows with :data:`MASK_COLUMNS`.
    source : str
        Of the foregrounds: that boxes are boxes is not said.
    """
    some = masks.loc[masks["area"] > 0, "area"]
    reasons = []
    if len(some):
        low, middle, high = (float(v) for v in np.quantile(some, [0.05, 0.5, 0.95]))
        reasons.append(
            Reason(
                code=Code.MASK_AREAS,
                values={"area": middle, "area_low": low, "area_high": high, "images": len(some)},
            )
        )
    for code, (asked, above, _) in _ASKED.items():
        if code is Code.MASKS_ARE_BOXES and source == "bounding_box":
            continue
        # One mask is like itself, and few say nothing of all.
        count = int(asked(masks).sum())
        if count > above * len(masks) and (not above or count >= _FEWEST):
            reasons.append(Reason(code=code, values={"images": count, "of": len(masks)}))
    cut = None if source == "bounding_box" else cut_objects(masks)
    return (*reasons, *(() if cut is None else (cut,)))


def cut_objects(masks: pd.DataFrame) -> Reason | None:
    """That some masks seem to cut their objects in two; None where nothing speaks for it.

    Of boxes, whose sides lie off the object, nothing is said.

    Parameters
    ----------
    masks : DataFrame
        Rows with :data:`MASK_COLUMNS`; those of older runs lack ``edges``.
    """
    some = masks[masks["area"] > 0]
    asked, above, _ = _ASKED[Code.MASKS_ARE_BOXES]
    if "edges" not in some or asked(some).sum() > above * len(some):
        return None
    found = least_supported(list(some["edges"]))
    return None if found is None else Reason(code=Code.OUTLINES_CUT_OBJECTS, values=dict(found))


def are_doubtful(findings: tuple[Reason, ...]) -> bool:
    """Whether a suspicion by such masks must be shown by other outlines, too."""
    for reason in findings:
        values = dict(reason)["values"]
        few = reason.code in (Code.MASKS_EMPTY, Code.MASKS_FULL)
        if few and values["images"] >= FEW * values["of"]:
            return True
        if reason.code is Code.OUTLINES_CUT_OBJECTS:
            return True
        if reason.code in _ASKED and _ASKED[reason.code][2]:
            return True
    return False
