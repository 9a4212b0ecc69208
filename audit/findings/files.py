"""The one writer and the one reader of the record's files: findings, run, controls, indices."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from audit.errors import RunFolderError
from audit.findings.controls import ControlMeasurements
from audit.findings.facts import RunFacts
from audit.findings.record import SCHEMA_VERSION, Findings
from audit.findings.repairs import Repair
from audit.findings.values import Record
from audit.writing import write_json

R = TypeVar("R", bound=Record)
T = TypeVar("T")

MAX_BYTES = 512 * 2**20
"""A larger file is not ours; a thousand classes with all their evidence take a few MB."""


def read_findings(path: Path) -> Findings:
    """Read ``findings.json``.

    Raises
    ------
    RunFolderError
        It is missing, too large, no JSON, of another version, or not as this version writes it.
    """
    return _read(path, Findings)


def write_findings(path: Path, findings: Findings) -> None:
    """Write ``findings.json`` atomically."""
    write_json(path, findings.model_dump(mode="json"))


def read_facts(path: Path) -> RunFacts:
    """Read ``run.json``.

    Raises
    ------
    RunFolderError
        As for :func:`read_findings`.
    """
    return _read(path, RunFacts)


def write_facts(path: Path, facts: RunFacts) -> None:
    """Write ``run.json`` atomically."""
    write_json(path, facts.model_dump(mode="json"))


def read_controls(path: Path) -> ControlMeasurements:
    """Read ``controls.json``; empty where it was not written.

    Raises
    ------
    RunFolderError
        It is not as this version writes it.
    """
    return _checked(path, ControlMeasurements) if path.exists() else ControlMeasurements()


def write_controls(path: Path, controls: ControlMeasurements) -> None:
    """Write ``controls.json`` atomically."""
    write_json(path, controls.model_dump(mode="json"))


def read_index(path: Path, kind: type[R]) -> tuple[R, ...]:
    """Read an ``index.json`` of exhibits, cues or CMVs; empty where it was not written.

    Raises
    ------
    RunFolderError
        It is not as this version writes it.
    """
    return _checked(path, tuple[kind, ...]) if path.exists() else ()  # type: ignore[valid-type]


def made_before(path: Path, kind: type[R]) -> tuple[R, ...]:
    """What an index says that an earlier attempt made; empty where it is damaged: made again."""
    try:
        return read_index(path, kind)
    except RunFolderError:
        return ()


def write_index(path: Path, entries: Iterable[Record]) -> None:
    """Write an ``index.json`` atomically."""
    write_json(path, [entry.model_dump(mode="json") for entry in entries])


def read_repair(path: Path) -> Repair | None:
    """Read ``repair.json``; None where there is none.

    Raises
    ------
    RunFolderError
        It is not as this version writes it.
    """
    return _checked(path, Repair) if path.exists() else None


def write_repair(path: Path, repair: Repair) -> None:
    """Write ``repair.json`` atomically."""
    write_json(path, repair.model_dump(mode="json"))


def json_schemas() -> dict[str, object]:
    """JSON Schema of the record's files, by file name."""
    return {
        "findings.json": Findings.model_json_schema(mode="serialization"),
        "run.json": RunFacts.model_json_schema(mode="serialization"),
        "repair.json": Repair.model_json_schema(mode="serialization"),
    }


def _read(path: Path, kind: type[R]) -> R:
    content = _load(path)
    found = content.get("schema_version") if isinstance(content, dict) else None
    if found != SCHEMA_VERSION:
        raise RunFolderError(
            f"{path.name}: expected schema_version {SCHEMA_VERSION}, found "
            f"{found if isinstance(found, int) else 'none'}; it was written by another version of "
            "this tool. Audit again, or use that version."
        )
    return _checked(path, kind, content)


def _load(path: Path) -> object:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            # A pipe or a device would keep whoever opens it.
            raise RunFolderError(
                f"{path.name}: expected a regular file, found a folder, a pipe or a device. Take "
                "the run folder from where it was made."
            )
        if found.st_size > MAX_BYTES:
            raise RunFolderError(f"{path.name}: more than {MAX_BYTES:,} bytes; not written by us")
        content: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunFolderError(
            f"{path.name}: not in the run folder. Has the run come as far? Resume it first."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path.name}: cannot be read ({type(error).__name__})") from error
    return content


def _checked(path: Path, kind: type[T], content: object = None) -> T:
    try:
        return TypeAdapter(kind).validate_python(_load(path) if content is None else content)
    except ValidationError as error:
        raise RunFolderError(f"{path.name}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    """The first complaint in words, without the value itself: it may be anything."""
    item = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in item["loc"])[:120]
    more = error.error_count() - 1
    return f"{where}: {item['msg'][:160]}" + (f" (and {more} more)" if more else "")
