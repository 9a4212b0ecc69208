"""Values out of JSON that may lack or hold anything: typed, or a clear refusal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.errors import ReportError
from audit.report.content import Estimate
from audit.report.formatting import discreet

SCHEMA_VERSION = 1


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object of this version.

    Raises
    ------
    ReportError
        It is missing, no JSON object, or of another version.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(
            f"{path.name}: not in the run folder. The report needs a run that has come as far as "
            "its findings; resume it first."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(f"{path.name}: cannot be read ({type(error).__name__})") from error
    if not isinstance(held, dict) or held.get("schema_version") != SCHEMA_VERSION:
        raise ReportError(
            f"{path.name}: expected schema_version {SCHEMA_VERSION}; it was written by another "
            "version of this tool"
        )
    return held


def number(held: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number, or None where there is none."""
    value = held.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def count(held: Mapping[str, Any], key: str) -> int:
    """Return a whole number.

    Raises
    ------
    ReportError
        It is missing: a count that is unknown must not be shown as 0.
    """
    value = number(held, key)
    if value is None:
        raise ReportError(f"findings.json or run.json: expected a count for {key!r}, found none")
    return int(value)


def estimate(held: Mapping[str, Any], key: str) -> Estimate:
    """Return a number with its ``_low`` and ``_high``."""
    return Estimate(number(held, key), number(held, f"{key}_low"), number(held, f"{key}_high"))


def text(held: Mapping[str, Any], key: str, limit: int = 600) -> str:
    """Return a clean sentence or word; empty where there is none."""
    value = held.get(key)
    return "" if value is None else discreet(value, limit)


def texts(held: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return clean sentences."""
    return tuple(discreet(value, 1000) for value in items(held, key))


def truth(held: Mapping[str, Any], key: str) -> bool | None:
    """Return true, false, or unknown."""
    value = held.get(key)
    return value if isinstance(value, bool) else None


def items(held: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list; empty where there is none."""
    value = held.get(key)
    return value if isinstance(value, list) else []


def objects(held: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    return [item for item in items(held, key) if isinstance(item, dict)]


def section(held: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object; empty where there is none."""
    value = held.get(key)
    return value if isinstance(value, dict) else {}
