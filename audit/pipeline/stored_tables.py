"""The tables of a run folder, maybe somebody else's, held to what this version writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audit.cues.cmv_alignment import ALIGNMENT_COLUMNS
from audit.dataset.mask_findings import MASK_COLUMNS
from audit.errors import AuditError, RunFolderError
from audit.measuring.columns import SCORE_COLUMNS, is_table
from audit.measuring.follow_up import FOLLOW_UP_COLUMNS
from audit.measuring.more_images import MORE_COLUMNS
from audit.measuring.second_outlines import SECOND_COLUMNS, SECOND_FOLLOW_UP_COLUMNS
from audit.run_folder import RunFolder
from audit.writing import storage_problem

# pandas writes texts and lists by longer offsets.
_KINDS: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    lambda kind: pa.types.is_list(kind) or pa.types.is_large_list(kind),
)

_OF_FILES = (".parquet", ".json", ".csv", ".html", ".pdf", ".xml", ".sarif", ".yaml", ".log")
_FOREIGN = (LookupError, TypeError, ValueError, ArithmeticError, OSError, pa.ArrowException)


def check_tables(run: RunFolder) -> None:
    """See that each table that verdicts rest on is whole, and its columns of the kinds we write.

    Raises
    ------
    RunFolderError
        One is damaged, no regular file, or of other kinds: left out it would change verdicts
        without a word.
    """
    for path, schema in (
        (run.scores, SCORE_COLUMNS),
        (run.follow_up, FOLLOW_UP_COLUMNS),
        (run.more_images, MORE_COLUMNS),
        (run.more_follow_up, FOLLOW_UP_COLUMNS),
        (run.masks, MASK_COLUMNS),
        (run.suspect_masks, MASK_COLUMNS),
        (run.second_outlines, SECOND_COLUMNS),
        (run.second_follow_up, SECOND_FOLLOW_UP_COLUMNS),
        (run.cmv_alignment, ALIGNMENT_COLUMNS),
    ):
        if path.exists():
            check_table(path, schema)
            # The scores are all read when verdicts are, and what of the others is damaged would
            # count as not measured.
            if path != run.scores and not is_table(path):
                raise _refused(path, "it cannot be read to its end")
    if run.more_images.exists() and not run.more_follow_up.exists():
        raise _refused(run.more_follow_up, "it is missing beside more_images.parquet")
    if run.second_outlines.exists() and not run.second_follow_up.exists():
        raise _refused(run.second_follow_up, "it is missing beside second_outlines.parquet")


def check_places(run: RunFolder) -> None:
    """See that what is written below a run folder stays there, and can be written.

    Raises
    ------
    RunFolderError
        A folder in it is a link to another place, or a folder has the name of a file.
    """
    for path in sorted(run.path.iterdir()):
        if not path.is_dir():
            continue
        if path.is_symlink():
            what = "a link to another folder, in which a report would be written"
        elif path.suffix in _OF_FILES:
            what = "expected a file, found a folder"
        else:
            continue
        raise RunFolderError(
            f"{run.path}: {path.name}: {what}. Remove it, or take the folder from where it was "
            "made."
        )


def check_table(path: Path, schema: pa.Schema) -> None:
    """See that a file is a table, and that each column is of its kind.

    Columns may be missing: runs of former releases have fewer.

    Raises
    ------
    RunFolderError
        It is none, or another.
    """
    if not path.is_file():
        # A pipe or a device would keep whoever opens it.
        raise _refused(path, "expected a regular file, found a folder, a pipe or a device")
    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise _refused(path, f"it cannot be read ({type(error).__name__})") from error
    for own in schema:
        place = found.get_field_index(own.name)
        if place >= 0 and not _alike(own.type, found.field(place).type):
            kinds = f"expected {own.type}, found {found.field(place).type}"
            raise _refused(path, f"column {own.name}: {kinds}")


@contextmanager
def of_our_making(run: RunFolder) -> Iterator[None]:
    """Say of a record that cannot be worked with that it is the folder's, in the block.

    Raises
    ------
    RunFolderError
        In the place of what a column that is missing, or a value that none of ours has, leads to.
    """
    try:
        yield
    except AuditError:
        raise
    except _FOREIGN as error:
        if storage_problem(error):
            raise
        said = str(error).partition("\n")[0][:120]
        raise RunFolderError(
            f"{run.path}: its tables hold what no run of this version writes "
            f"({type(error).__name__}: {said}). Was one changed? The same `run` command measures "
            "again; or take the folder from where it was made."
        ) from error


def _alike(ours: pa.DataType, theirs: pa.DataType) -> bool:
    return any(kind(ours) and kind(theirs) for kind in _KINDS)


def _refused(path: Path, what: str) -> RunFolderError:
    return RunFolderError(
        f"{path.name}: {what}. Verdicts rest on it. The same `run` command measures again what is "
        "damaged; or take the folder from where it was made."
    )
