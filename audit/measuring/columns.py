"""The columns of ``scores.parquet``, their types, and the check that a table keeps to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import AuditError
from audit.findings import read_facts
from audit.run_folder import RunFolder
from audit.scoring import STATUSES
from audit.writing import write_atomically

Cell = str | int | float | bool | None | list[str] | list[int] | list[float]
Row = dict[str, Cell]
"""Values by column, on their way into a table that checks them against its schema."""

_FLOATS = pa.list_(pa.float64())
_TEXTS = pa.list_(pa.string())
_INTS = pa.list_(pa.int32())

SCORE_COLUMNS = pa.schema(
    [
        ("sample_id", pa.string()),
        ("path", pa.string()),
        ("label", pa.int32()),
        ("label_name", pa.string()),
        ("prediction", pa.int32()),
        ("confidence", pa.float64()),  # softmax of the prediction
        ("probability", pa.float64()),  # softmax of the label
        ("margin", pa.float64()),  # class score of the label minus the best other
        ("status", pa.string()),
        ("reason", pa.string()),  # why the status is not `scored`
        ("detail", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("sha256", pa.string()),
        ("foreground_area", pa.float64()),
        ("foreground_mass", pa.float64()),
        ("mass_lift", pa.float64()),
        # The lift with the foreground drawn narrower and wider by about 1/16 of the side.
        ("mass_lift_eroded", pa.float64()),
        ("mass_lift_dilated", pa.float64()),
        ("rank_accuracy", pa.float64()),
        ("pointing_hit", pa.bool_()),
        # Swaps: means over the donors, then each donor by itself.
        ("swap_same_prediction", pa.int32()),  # most frequent; the lowest of several
        ("swap_same_probability", pa.float64()),
        ("swap_same_margin", pa.float64()),
        ("swap_same_predictions", _INTS),
        ("swap_same_probabilities", _FLOATS),
        ("swap_same_margins", _FLOATS),
        ("swap_same_donor_rows", _INTS),  # whose background: a row of samples.parquet
        ("swap_same_donor_hashes", _TEXTS),  # the first 16 digits of that image's sha256
        ("swap_other_prediction", pa.int32()),
        ("swap_other_probability", pa.float64()),
        ("swap_other_margin", pa.float64()),
        ("swap_other_own_margin", pa.float64()),  # the donor's own class is no rival
        ("swap_other_predictions", _INTS),
        ("swap_other_probabilities", _FLOATS),
        ("swap_other_margins", _FLOATS),
        ("swap_other_own_margins", _FLOATS),
        ("swap_other_donor_labels", _INTS),
        ("swap_other_donor_rows", _INTS),
        ("swap_other_donor_hashes", _TEXTS),
        ("swap_other_donor_probabilities", _FLOATS),  # softmax of the donor's class
        ("background_only_prediction", pa.int32()),
        ("background_only_probability", pa.float64()),
        ("background_only_margin", pa.float64()),
        ("object_only_prediction", pa.int32()),
        ("object_only_probability", pa.float64()),
        ("object_only_margin", pa.float64()),
        ("foreground_noise_prediction", pa.int32()),
        ("foreground_noise_probability", pa.float64()),
        ("foreground_noise_margin", pa.float64()),
        ("background_noise_prediction", pa.int32()),
        ("background_noise_probability", pa.float64()),
        ("background_noise_margin", pa.float64()),
        ("background_shuffled_prediction", pa.int32()),
        ("background_shuffled_probability", pa.float64()),
        ("background_shuffled_margin", pa.float64()),
    ]
)


def table_of(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows as a table of exactly :data:`SCORE_COLUMNS`; what a row lacks is null.

    NaN becomes null: in the file, undefined has one form only.
    """
    columns = {field.name: [_plain(row.get(field.name)) for row in rows] for field in SCORE_COLUMNS}
    table = pa.table(columns, schema=SCORE_COLUMNS)
    check_scores(table)
    return table


def _plain(value: object) -> object:
    if isinstance(value, float) and value != value:
        return None
    return value


def check_scores(table: pa.Table) -> None:
    """Hold a table of scores against its promises.

    Raises
    ------
    AuditError
        A column is missing or of another type, a status is unknown, an id occurs twice, or a
        number lies outside its range.
    """
    if table.schema.names != SCORE_COLUMNS.names:
        missing = set(SCORE_COLUMNS.names) ^ set(table.schema.names)
        raise AuditError(f"scores: columns differ from SCORE_COLUMNS: {sorted(missing)}")
    strange = set(table["status"].to_pylist()) - set(STATUSES)
    if strange:
        raise AuditError(f"scores: unknown status {sorted(map(str, strange))}")
    ids = table["sample_id"].to_pylist()
    if len(set(ids)) != len(ids):
        raise AuditError("scores: a sample_id occurs twice")
    for name in ("confidence", "probability", "foreground_area", "foreground_mass"):
        values = [v for v in table[name].to_pylist() if v is not None]
        # Sums of float32 softmax values may pass 1 by rounding.
        if any(not -1e-6 <= v <= 1 + 1e-6 for v in values):
            raise AuditError(f"scores: {name} lies outside 0..1")


def is_table(path: Path) -> bool:
    """Whether a file is there and can be read as a table to its end."""
    try:
        pq.read_table(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table atomically; the same table gives the same bytes."""
    write_atomically(path, lambda temporary: pq.write_table(table, temporary))


RUN_ID = pa.field("run_id", pa.string())
"""The last column of a run's tables."""


def write_table_of(run: RunFolder, path: Path, table: pa.Table) -> None:
    """Write a table of a run atomically, with :data:`RUN_ID`.

    So tables of several runs can be joined. ``scores.parquet`` alone has none: equal input gives
    equal bytes there, whichever run wrote them.

    Parameters
    ----------
    run : RunFolder
        Prepared: its ``run.json`` says who it is.
    path : Path
        One of its tables.
    table : Table
        By its schema, without ``run_id``.

    Raises
    ------
    RunFolderError
        The folder says of no run which it is.
    """
    whose = pa.repeat(pa.scalar(read_facts(run.run_json).run_id, pa.string()), len(table))
    write_table(path, table.append_column(RUN_ID, whose))
