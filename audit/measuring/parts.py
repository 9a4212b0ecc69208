"""The parts of ``scores/``: each says whose it is, and one that is not whole is measured again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import AuditError
from audit.measuring.columns import SCORE_COLUMNS
from audit.writing import write_atomically

STAMP: Final = b"saliency-audit"
"""The key, among a part's metadata, of what it says about itself."""


@dataclass(frozen=True)
class StampedTable:
    """A table as a file that says whose it is, and is none where it is not whole.

    Parameters
    ----------
    path : Path
        The file.
    schema : pyarrow.Schema
        Its columns.
    stamp : bytes
        What it says of itself; with another it is somebody else's.
    """

    path: Path
    schema: pa.Schema
    stamp: bytes

    def write(self, table: pa.Table) -> None:
        """Write it with a checksum a page; it appears whole or not at all."""
        stamped = table.replace_schema_metadata({STAMP: self.stamp})
        write_atomically(
            self.path, lambda held: pq.write_table(stamped, held, write_page_checksum=True)
        )

    def read(self) -> pa.Table | None:
        """The table; None where it is missing, damaged, or another's."""
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as opened:
                table = opened.read()
        except (OSError, pa.ArrowException):
            return None
        if (table.schema.metadata or {}).get(STAMP) != self.stamp:
            return None
        table = table.replace_schema_metadata(None)
        return table if table.schema == self.schema else None

    def made(self, what: str) -> pa.Table:
        """The table, of which somebody says that it was written.

        Raises
        ------
        AuditError
            It is not here.
        """
        table = self.read()
        if table is None:
            raise AuditError(
                f"{what}: {self.path} was measured and is not here. Workers must see the run "
                "folder under the same path."
            )
        return table


@dataclass(frozen=True)
class Part:
    """The scores of one shard, as a file.

    Parameters
    ----------
    path : Path
        The file.
    fingerprint : str
        Of the audit.
    shard : int
        Its number.
    first : int
        The first of its rows in ``samples.parquet``.
    samples : DataFrame
        These rows.
    """

    path: Path
    fingerprint: str
    shard: int
    first: int
    samples: pd.DataFrame

    @property
    def _stamp(self) -> bytes:
        rows = [self.first, self.first + len(self.samples)]
        content = {"fingerprint": self.fingerprint, "shard": self.shard, "rows": rows}
        return json.dumps(content, sort_keys=True).encode()

    @property
    def _file(self) -> StampedTable:
        return StampedTable(self.path, SCORE_COLUMNS, self._stamp)

    def write(self, table: pa.Table) -> None:
        """Write the part with a checksum a page; it appears whole or not at all."""
        self._file.write(table)

    def read(self) -> pa.Table | None:
        """The scores; None where the part is missing, damaged, or that of other rows."""
        table = self._file.read()
        if table is None:
            return None
        written, expected = table["sample_id"].to_pylist(), self.samples["sample_id"].tolist()
        return table if written == expected else None

    @property
    def is_finished(self) -> bool:
        """Whether the part is there, whole, and that of its rows."""
        return self.path.exists() and self.read() is not None

    def scores(self) -> pa.Table:
        """The scores of a part that must be there.

        Raises
        ------
        AuditError
            It is missing, damaged, or that of other rows.
        """
        table = self.read()
        if table is None:
            raise AuditError(
                f"scores/{self.path.name} is damaged, or holds other rows than it should. The same "
                "command measures this shard again and keeps all others."
            )
        return table
