"""What helps a retraining, as files: the split, counter-examples, groups, what to photograph."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from audit.dataset.batches import on_device
from audit.findings import Findings, SplitPart
from audit.measuring.collect import inert
from audit.measuring.swaps import Objects, swapped
from audit.pipeline.session import Session
from audit.pixels import to_float, to_picture
from audit.repairs.counter_examples import counter_examples, group_table, wanted_photographs
from audit.repairs.material import PartMaterial
from audit.report.overlays import to_png
from audit.run_folder import file_slug
from audit.writing import write_atomically, write_bytes

PICTURES = "counter_examples"


def write_exports(
    folder: Path,
    session: Session,
    findings: Findings,
    scores: pd.DataFrame,
    parts: pd.Series[SplitPart],
    material: Sequence[PartMaterial],
) -> int:
    """Write what helps a retraining; the proof images are in none of the pictures.

    ``split.csv`` and ``proof.csv`` name the parts, ``counter_examples/`` holds a folder a class,
    ``counter_examples.csv`` object and donor of each picture; ``groups.csv`` and
    ``to_photograph.csv`` see :mod:`audit.repairs.counter_examples`.

    Parameters
    ----------
    folder : Path
        Of the repair.
    session, findings, scores, parts
        Of the run that is repaired.
    material : sequence of PartMaterial
        What was shown to the model.

    Returns
    -------
    int
        Counter-examples.
    """
    split = scores.loc[parts.index, ["sample_id", "label_name"]].assign(part=parts)
    _write_csv(folder / "split.csv", split)
    _write_csv(folder / "proof.csv", split[split["part"] == SplitPart.PROOF], safe=False)
    groups = group_table(scores, parts, findings, session.class_names)
    _write_csv(folder / "groups.csv", groups)
    photographs = wanted_photographs(scores, findings, session.labels)
    _write_csv(folder / "to_photograph.csv", photographs)
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    rows: list[dict[str, object]] = []
    for part in material:
        found = counter_examples(part.material, part.class_scores, session.manifest.run.seed)
        rows += _draw(folder, session, part, found)
    columns = ["path", "label_name", "object", "donor", "donor_class", "answer", "probability"]
    _write_csv(folder / f"{PICTURES}.csv", pd.DataFrame(rows, columns=[*columns, "part"]))
    return len(rows)


def _draw(
    folder: Path, session: Session, material: PartMaterial, pairs: pd.DataFrame
) -> list[dict[str, object]]:
    """Draw counter-examples of one part; returns the rows of their table."""
    by_object = {int(str(row)): swaps for row, swaps in pairs.groupby("row")}
    rows: list[dict[str, object]] = []
    for batch in material.bench.batches(sorted(by_object)):
        images = to_float(on_device(batch.images, material.bench.model.device))
        objects = Objects.of(images, on_device(batch.foreground, material.bench.model.device))
        for index, row in enumerate(batch.rows):
            swaps = by_object[row]
            positions = [material.bank.position_of(donor) for donor in swaps["donor_row"].tolist()]
            drawn = [position for position in positions if position is not None]
            pictures = swapped(objects, [index] * len(drawn), material.bank, drawn)
            for picture, (_, swap) in zip(pictures, swaps.iterrows(), strict=True):
                metadata = _told(session, swap) | {"part": material.part.value}
                write_bytes(folder / str(metadata["path"]), to_png(to_picture(picture)))
                rows.append(metadata)
    return rows


def _told(session: Session, swap: pd.Series) -> dict[str, object]:
    """The row of a counter-example in their table."""
    ids, names = session.table["sample_id"], session.class_names
    label, row, donor = int(swap["label"]), int(swap["row"]), int(swap["donor_row"])
    return {
        "path": f"{PICTURES}/{_class_folder(label, names[label])}/{row:07d}-{donor:07d}.png",
        "label_name": names[label],
        "object": ids.loc[row],
        "donor": ids.loc[donor],
        "donor_class": names[int(swap["donor_label"])],
        "answer": names[int(swap["prediction"])],
        "probability": round(float(swap["probability"]), 4),
    }


def _class_folder(label: int, name: str) -> str:
    """The class's own name where a file system takes it as it is; else its number and what is left.

    An ImageFolder is read by these names.
    """
    plain = name.strip(". ") == name and name.isprintable() and not set(name) & set('/\\:*?"<>|')
    return name if plain and len(name.encode()) < 200 else f"{label:04d}-{file_slug(name)}"


def _write_csv(path: Path, table: pd.DataFrame, *, safe: bool = True) -> None:
    """Write a table; where people open it, without text that a spreadsheet would execute."""
    shown = table.map(inert) if safe else table
    write_atomically(path, lambda held: shown.to_csv(held, index=False, lineterminator="\n"))
