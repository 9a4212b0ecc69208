"""A list of samples cut down to those that a file names."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from audit.errors import DatasetError


def only_listed(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Keep the samples that a CSV names; their order stays that of the reader.

    Parameters
    ----------
    table : DataFrame
        From :func:`audit.dataset.readers.read_dataset`.
    path : Path
        A CSV with a column ``sample_id``; other columns count for nothing.

    Returns
    -------
    DataFrame
        Numbered from 0.

    Raises
    ------
    DatasetError
        The file cannot be read, has no such column, names nothing or a sample that is not there.
    """
    try:
        listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"dataset.only: {path.name} cannot be read as CSV ({error}). Expected a table with a "
            "column sample_id, as images_to_check.csv of a run is."
        ) from error
    if "sample_id" not in listed:
        raise DatasetError(
            f"dataset.only: {path.name}: expected a column sample_id, found "
            f"{', '.join(map(str, listed.columns[:6])) or 'none'}"
        )
    ids = set(listed["sample_id"])
    unknown = sorted(ids - set(table["sample_id"]))
    if unknown or not ids:
        found = f"{unknown[0]!r} and {len(unknown) - 1} more" if unknown else "no sample at all"
        raise DatasetError(
            f"dataset.only: {path.name}: expected ids of this dataset, such as "
            f"{table['sample_id'].iloc[0]!r}; found {found}"
        )
    return table[table["sample_id"].isin(ids)].reset_index(drop=True)
