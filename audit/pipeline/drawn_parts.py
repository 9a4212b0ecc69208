"""Pictures that are drawn in parts: what is finished of them, and the lists laid together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from audit.errors import AuditError, RunFolderError
from audit.findings import read_index
from audit.findings.values import Record
from audit.manifest import fingerprint
from audit.run_folder import RunFolder

R = TypeVar("R", bound=Record)


def part_file(folder: Path, name: str, *of: Any) -> Path:
    """The list of the pictures of one part, written after them.

    Parameters
    ----------
    folder : Path
        Where the pictures go.
    name : str
        Of the part.
    *of
        What they hang on: of anything else the list has another name.
    """
    return folder / f"part-{name}-{fingerprint(*of)[:16]}.json"


def drawn(
    run: RunFolder, path: Path, kind: type[R], pictures_of: Callable[[R], Iterable[str | None]]
) -> tuple[R, ...] | None:
    """The entries of a part; None where it is not finished, or a picture of it is gone."""
    if not path.exists():
        return None
    try:
        entries = read_index(path, kind)
    except RunFolderError:
        # Half written by something else: drawn again.
        return None
    names = [name for entry in entries for name in pictures_of(entry) if name]
    return entries if all((run.path / name).exists() for name in names) else None


def gathered(paths: Sequence[Path], kind: type[R], what: str) -> list[R]:
    """The entries of parts of which somebody says that they were drawn.

    Raises
    ------
    AuditError
        One is not here.
    """
    for path in paths:
        if not path.exists():
            raise AuditError(
                f"{what}: {path} was drawn and is not here. Workers must see the run folder under "
                "the same path."
            )
    return [entry for path in paths for entry in read_index(path, kind)]


def forget_parts(folder: Path) -> None:
    """Remove the lists of parts, once the whole is written."""
    for path in folder.glob("part-*.json"):
        path.unlink(missing_ok=True)
