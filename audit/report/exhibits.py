"""The samples that a report shows, chosen by rule and drawn again exactly as they were scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.dataset.batches import Batch
from audit.findings import Exhibit, ExhibitPictures, PartEffects, Role, Swap
from audit.measuring.donors import DonorBank
from audit.measuring.part_effects import became_on, costliest_donor, measure_parts
from audit.measuring.part_findings import SwapMap
from audit.measuring.plan import Workbench
from audit.measuring.rows import maps_of
from audit.measuring.swaps import Objects, swapped
from audit.pixels import to_float, to_picture
from audit.report.overlays import outline, overlay, signed_overlay, to_png
from audit.run_folder import RunFolder, file_slug
from audit.writing import write_bytes

EXHIBIT_COLUMNS: Final = [
    *("sample_id", "label", "label_name", "prediction", "probability", "confidence"),
    *("foreground_area", "foreground_mass", "mass_lift"),
    *("swap_same_probability", "swap_other_probability", "swap_other_probabilities"),
    *("swap_other_predictions", "swap_other_donor_rows", "swap_other_donor_labels"),
]
"""Of ``scores.parquet``: those by which exhibits are chosen and drawn."""


@dataclass(frozen=True)
class Choice:
    """One sample to be shown.

    Parameters
    ----------
    row : int
        Position in the list of samples.
    role : Role
        By which rule.
    part_donor : int or None
        The class against whose backgrounds it is measured what each part does; None: it is not.
    part_rival : int or None
        What images of its class become there; None: they stay what they are.
    """

    row: int
    role: Role
    part_donor: int | None = None
    part_rival: int | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """The pictures of one sample, uint8 ``(H, W, 3)`` by name, and what was measured on them."""

    pictures: dict[str, NDArray[np.uint8]]
    swap: Swap | None
    part_effects: PartEffects | None


def choose(rows: pd.DataFrame, *, is_suspect: bool = False) -> list[Choice]:
    """Choose the exhibits of one class by the rules of :class:`Role`; no sample twice.

    Parameters
    ----------
    rows : DataFrame
        The class's rows of ``scores.parquet``, indexed by their position.
    is_suspect : bool
        Of a suspect class two of ``worst``, ``typical`` and ``mistaken`` are shown instead of one,
        the worst by their parts too; ``best`` is one.
    """
    answered = rows[rows["prediction"].notna()]
    right = answered[answered["prediction"] == answered["label"]]
    wrong = answered[answered["prediction"] != answered["label"]]
    gap = right["swap_same_probability"] - right["swap_other_probability"]
    mass = right["foreground_mass"]
    ranked = {
        Role.WORST: (gap if gap.notna().any() else -mass).sort_values(
            ascending=False, kind="stable"
        ),
        Role.TYPICAL: (mass - mass.median()).abs().sort_values(kind="stable"),
        Role.BEST: (gap.abs() - mass).sort_values(kind="stable"),
        Role.MISTAKEN: wrong["confidence"].sort_values(ascending=False, kind="stable"),
    }
    if mass.isna().all():
        # Without foregrounds the confidence alone is known.
        sure = right["confidence"]
        ranked[Role.TYPICAL] = (sure - sure.median()).abs().sort_values(kind="stable")
        ranked[Role.BEST] = sure.sort_values(ascending=False, kind="stable")
    chosen: list[Choice] = []
    for role, order in ranked.items():
        free = [int(i) for i in order.dropna().index if int(i) not in {c.row for c in chosen}]
        count = 2 if is_suspect and role is not Role.BEST else 1
        donor = costliest_donor(rows) if is_suspect and role is Role.WORST else None
        rival = None if donor is None else became_on(rows, donor)
        chosen += [Choice(row, role, donor, rival) for row in free[:count]]
    return chosen


def draw(
    run: RunFolder,
    scores: pd.DataFrame,
    choices: Sequence[Choice],
    class_names: Sequence[str],
    bench: Workbench,
    bank: DonorBank | None,
) -> list[Exhibit]:
    """Draw exhibits into the run folder.

    Parameters
    ----------
    run : RunFolder
        Pictures go to its ``exhibits``.
    scores : DataFrame
        Rows of ``scores.parquet``, those of all choices at least, by their positions.
    choices : sequence of Choice
        What to draw.
    class_names : sequence of K str
        All outputs of the model.
    bench, bank
        As the scores were made.

    Returns
    -------
    list of Exhibit
        By class, then by role.
    """
    chosen = {choice.row: choice for choice in choices}
    drawn: list[Exhibit] = []
    for batch in bench.batches(sorted(chosen)):
        if len(batch):
            maps = maps_of(bench.model, batch, bench.plan).cpu().numpy()
            for index, row in enumerate(batch.rows):
                record = scores.loc[[row]].iloc[0]
                pictures = _pictures(batch, index, maps[index])
                swap = _swap(batch, index, record, bank, class_names)
                if swap is not None:
                    pictures["swap"] = swap[1]
                donor, parts = chosen[row].part_donor, None
                if bank is not None and donor is not None:
                    parts = measure_parts(batch, index, bench, bank, donor, chosen[row].part_rival)
                if parts is not None and donor is not None:
                    pictures["swap_map"] = _by_parts(batch, index, parts)
                    effects = parts.summary(class_names, donor, maps[index])
                else:
                    effects = None
                shown = Shown(pictures, swap[0] if swap else None, effects)
                drawn.append(_entry(run, record, chosen[row].role, shown, class_names))
    order = list(Role)
    return sorted(drawn, key=lambda entry: (entry.label, order.index(entry.role)))


def _pictures(
    batch: Batch, index: int, saliency: NDArray[np.float32]
) -> dict[str, NDArray[np.uint8]]:
    image = to_picture(batch.images[index])
    foreground = batch.foreground[index].numpy()
    known = foreground if foreground.any() else None
    pictures = {"image": image, "overlay": overlay(image, saliency, known)}
    if known is not None:
        pictures["outline"] = outline(image, known)
    return pictures


def _by_parts(batch: Batch, index: int, parts: SwapMap) -> NDArray[np.uint8]:
    image, foreground = to_picture(batch.images[index]), batch.foreground[index].numpy()
    return signed_overlay(image, parts.strength, foreground)


def _swap(
    batch: Batch,
    index: int,
    record: pd.Series,
    bank: DonorBank | None,
    class_names: Sequence[str],
) -> tuple[Swap, NDArray[np.uint8]] | None:
    """The foreign background that cost this sample most, with what the model then said."""
    probabilities, rows = record["swap_other_probabilities"], record["swap_other_donor_rows"]
    if bank is None or probabilities is None or rows is None:
        return None
    hardest = int(np.argmin(probabilities))
    # The donor that was measured: another draw might choose another one.
    position = bank.position_of(int(rows[hardest]))
    if position is None:
        return None
    objects = Objects.of(
        to_float(batch.images[index : index + 1]), batch.foreground[index : index + 1]
    )
    swap = Swap(
        donor_class=class_names[int(record["swap_other_donor_labels"][hardest])],
        donor_row=int(rows[hardest]),
        prediction_name=class_names[int(record["swap_other_predictions"][hardest])],
        probability=float(probabilities[hardest]),
        before=float(record["probability"]),
    )
    return swap, to_picture(swapped(objects, [0], bank, [position])[0])


def _entry(
    run: RunFolder, record: pd.Series, role: Role, shown: Shown, class_names: Sequence[str]
) -> Exhibit:
    label = int(record["label"])
    folder = run.exhibits / f"{label:04d}-{file_slug(str(record['label_name']))}"
    paths: dict[str, str] = {}
    for name, pixels in shown.pictures.items():
        path = folder / f"{role}-{record.name:07d}-{name}.png"
        write_bytes(path, to_png(pixels))
        paths[name] = path.relative_to(run.path).as_posix()
    return Exhibit(
        label=label,
        role=role,
        sample_id=record["sample_id"],
        label_name=record["label_name"],
        prediction_name=class_names[int(record["prediction"])],
        confidence=record["confidence"],
        foreground_area=record["foreground_area"],
        foreground_mass=record["foreground_mass"],
        mass_lift=record["mass_lift"],
        pictures=ExhibitPictures(**paths),
        swap=shown.swap,
        part_effects=shown.part_effects,
    )
