"""The scores of a fixed dataset and model are those that were stored when this was frozen.

`python tests/test_frozen_scores.py` stores them anew: only where they were meant to change, and
then CHANGELOG says so, since scores of old and new runs can no longer be compared.
"""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from auditing import opened
from PIL import Image
from planted import write_dataset

from audit.manifest import fingerprint
from audit.measuring.columns import SCORE_COLUMNS
from audit.pipeline.donor_parts import gather_donors
from audit.pipeline.measure import gather_scores, score
from audit.pipeline.prepare import prepare

STORED = Path(__file__).parent / "frozen" / "scores.parquet"
# Gradients through the network, activations, and noise drawn by the seed of a sample.
METHODS = ("gradient", "gradcam", "smoothgrad")
COLUMNS = SCORE_COLUMNS.names


def computed(folder: Path) -> pa.Table:
    """The scores of all methods, one below the other."""
    manifest = write_dataset(folder, [1], per_class=4)
    # Donors are drawn by what files hold: in a format that every Pillow writes alike.
    for path in sorted((folder / "images").rglob("*.png")):
        Image.open(path).convert("RGB").save(path.with_suffix(".bmp"))
        path.unlink()
    tables = []
    for method in METHODS:
        overrides = (
            f"saliency.method={method}",
            "interventions.fill=inpaint",
            *("run.batch_size=8", "run.workers=1"),
        )
        session = opened(manifest, folder / method, *overrides)
        prepare(session)
        gather_donors(session)
        score(session, 0)
        gather_scores(session)
        tables.append(pq.read_table(session.run.scores, columns=COLUMNS))
    return pa.concat_tables(tables)


def machine() -> str:
    """Equal where float32 arithmetic is the same to the last bit: torch, and the processor."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else [platform.processor()]
    processor = next((line for line in lines if line.startswith("model name")), lines[0])
    return fingerprint(torch.__version__, torch.backends.cpu.get_cpu_capability(), processor)


def numbers(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    flat = column.combine_chunks()
    while pa.types.is_list(flat.type):
        flat = flat.flatten()
    return np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float64)


def element(kind: pa.DataType) -> pa.DataType:
    return element(kind.value_type) if pa.types.is_list(kind) else kind


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return computed(tmp_path_factory.mktemp("frozen"))


@pytest.fixture(scope="module")
def then() -> pa.Table:
    return pq.read_table(STORED)


def test_draws_decisions_and_words_are_the_same_everywhere(now: pa.Table, then: pa.Table) -> None:
    assert now.schema.names == then.schema.names == COLUMNS
    assert now.num_rows == then.num_rows == len(METHODS) * 24
    for name in COLUMNS:
        assert now[name].type == then[name].type, name
        if not pa.types.is_floating(element(now[name].type)):
            assert now[name].equals(then[name]), name


def test_numbers_are_the_same_to_the_last_bit_on_the_same_processor(
    now: pa.Table, then: pa.Table
) -> None:
    if then.schema.metadata[b"machine"].decode() == machine():
        assert now.cast(then.schema).equals(then)
    for name in COLUMNS:
        if pa.types.is_floating(element(now[name].type)):
            found, stored = numbers(now[name]), numbers(then[name])
            assert len(found) == len(stored), name
            alike = np.isclose(found, stored, rtol=1e-4, atol=1e-5, equal_nan=True)
            # Elsewhere sums round otherwise, and a tie in the texture of a filled hole may fall.
            assert alike.mean() >= 0.98, name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        table = computed(Path(folder)).replace_schema_metadata({"machine": machine()})
    STORED.parent.mkdir(exist_ok=True)
    pq.write_table(table, STORED, compression="zstd")
