"""What is known of each class before the work begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from audit.dataset.batches import Batch
from audit.pipeline.session import Session

_FROM_FILES = ("mask_file", "coco_segments", "voc_segments", "yolo_polygons")


@dataclass(frozen=True)
class ClassCheck:
    """One class of the dataset.

    Parameters
    ----------
    label_name : str
        Its name.
    images : int
        Samples.
    outlined : int or None
        Samples that bring a mask, a box or an outline; None where that shows only when each is
        asked for.
    tried, unreadable, right, with_foreground : int
        Images tried; of these, how many cannot be read, are answered rightly, and have an object.
    area : float or None
        Median share of the input that the object covers, 0..1, over the images tried that have one.
    """

    label_name: str
    images: int
    outlined: int | None
    tried: int
    unreadable: int
    right: int
    with_foreground: int
    area: float | None


def check_classes(
    session: Session, few: pd.DataFrame, batch: Batch, right: Sequence[bool]
) -> tuple[ClassCheck, ...]:
    """Look at each class, in the order of their names.

    Parameters
    ----------
    session : Session
        Opened.
    few : DataFrame
        Rows of the images tried.
    batch : Batch
        Those of them that could be read.
    right : sequence of bool
        Whether the model answers each of them rightly.
    """
    table, has_outline = session.table, _has_outline(session)
    covered = batch.foreground.flatten(1).float().mean(1).numpy()
    names = np.array(batch.label_names, dtype=object)
    lost = pd.Series(
        [few["label_name"].loc[row] for row, _ in batch.unreadable], dtype=object
    ).value_counts()
    outlined: dict[str, int] | None = None
    if has_outline is not None:
        counted = has_outline.groupby(table["label_name"]).sum()
        outlined = {str(name): int(count) for name, count in counted.items()}
    found = []
    for name, count in table["label_name"].value_counts().sort_index().items():
        mine = names == name
        areas = covered[mine & (covered > 0)]
        found.append(
            ClassCheck(
                label_name=str(name),
                images=int(count),
                outlined=None if outlined is None else outlined[str(name)],
                tried=int(mine.sum()) + int(lost.get(name, 0)),
                unreadable=int(lost.get(name, 0)),
                right=int(np.asarray(right)[mine].sum()),
                with_foreground=len(areas),
                area=round(float(np.median(areas)), 4) if len(areas) else None,
            )
        )
    return tuple(found)


def _has_outline(session: Session) -> pd.Series[bool] | None:
    table = session.table
    if session.source == "bounding_box":
        return table["boxes"] != "[]"
    if session.source in _FROM_FILES:
        return table["mask_size"] >= 0
    return None
