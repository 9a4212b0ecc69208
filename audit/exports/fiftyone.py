"""FiftyOne's own format on disk: what was measured of each picture, its mask and its map.

A folder of the type ``fiftyone.types.FiftyOneDataset``: ``metadata.json`` is the document of the
dataset, ``samples.json`` holds one of each sample, both in MongoDB's Extended JSON; pictures lie in
``data/``, masks and maps in ``fields/``. The package itself is not needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pandas as pd
from PIL import Image

from audit.errors import RunFolderError
from audit.exports.fiftyone_documents import (
    DATA,
    FIELDS,
    Picture,
    dataset_document,
    picture_name,
    sample_documents,
)
from audit.exports.fiftyone_fields import FOREGROUND, SALIENCY
from audit.findings import read_facts, read_findings
from audit.run_folder import RunFolder
from audit.writing import write_bytes, write_json

FORMAT: Final = "fiftyone"
"""In the manifest's ``report.formats``."""


def write_documents(run: RunFolder) -> Path:
    """Write ``metadata.json`` and ``samples.json`` from what the run found; returns the folder.

    Raises
    ------
    RunFolderError
        There are no pictures: maps are not stored, and need the model.
    """
    folder = run.fiftyone
    scores = pd.read_parquet(run.scores)
    drawn = {path.name for path in (folder / FIELDS / SALIENCY).glob("*.png")}
    rows = [row for row in range(len(scores)) if picture_name(row) in drawn]
    if not rows:
        raise RunFolderError(
            f"{run.path}: report.formats has fiftyone, but no maps lie here, and they need the "
            "model: `run` the same manifest into this folder with this format; only what is "
            "missing is made."
        )
    findings, facts = read_findings(run.findings), read_facts(run.run_json)
    pictures = {row: _picture_of(folder, picture_name(row)) for row in rows}
    samples = sample_documents(scores, findings, facts, pictures)
    write_json(folder / "metadata.json", dataset_document(findings, facts, len(samples)))
    # One line a sample: FiftyOne reads a large file in pieces.
    lines = ",\n".join(json.dumps(sample, allow_nan=False) for sample in samples)
    write_bytes(folder / "samples.json", ('{"samples": [\n' + lines + "\n]}\n").encode())
    return folder


def _picture_of(folder: Path, name: str) -> Picture:
    with Image.open(folder / DATA / name, formats=("PNG",)) as image:
        height, width = image.height, image.width
    return Picture(height, width, (folder / FIELDS / FOREGROUND / name).exists())
