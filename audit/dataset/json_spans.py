"""A large JSON file, element by element, with the bytes at which each one stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audit.errors import DatasetError

_LARGEST = 8 * 2**30
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_REMEDY = "Export the annotations again: such a file is cut off, or was never one of them."


def spans(path: Path) -> Iterator[tuple[str, Any, int, int]]:
    """Yield the values of a JSON object; of lists, their elements one by one.

    The file is held as text once; no more than one element is a Python object at a time.

    Parameters
    ----------
    path : Path
        Of a file whose outermost value is an object.

    Yields
    ------
    str, value, int, int
        The key, a value below it, and its start and length in bytes.

    Raises
    ------
    DatasetError
        No such JSON; the message names line and column.
    """
    if path.stat().st_size > _LARGEST:
        raise DatasetError(
            f"{path.name}: more than {_LARGEST >> 30} GiB of JSON, which is not read. Split it, or "
            "name it in dataset.annotations only if it is one."
        )
    # One character a byte, so that places in the text are places in the file.
    text = path.read_bytes().decode("latin-1")
    try:
        yield from _members(text)
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{path.name}: not valid JSON: {error.msg} at line {error.lineno}, column "
            f"{error.colno}. {_REMEDY}"
        ) from error
    except RecursionError as error:
        raise DatasetError(f"{path.name}: brackets are nested too deeply. {_REMEDY}") from error
    except ValueError as error:
        raise DatasetError(f"{path.name}: not valid JSON: {error}. {_REMEDY}") from error


def _members(text: str) -> Iterator[tuple[str, Any, int, int]]:
    at = _expect(text, 3 if text.startswith("\xef\xbb\xbf") else 0, "{")
    if text[at : at + 1] == "}":
        return
    while True:
        key, at = _value(text, at)
        if not isinstance(key, str):
            raise json.JSONDecodeError("Expecting a key in double quotes", text, at)
        at = _expect(text, at, ":")
        if text[at : at + 1] == "[":
            at = _skip(text, at + 1)
            while text[at : at + 1] != "]":
                value, end = _value(text, at)
                yield key, value, at, end - at
                at = _skip(text, end)
                if text[at : at + 1] == ",":
                    at = _skip(text, at + 1)
                elif text[at : at + 1] != "]":
                    raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
            at += 1
        else:
            value, end = _value(text, at)
            yield key, value, at, end - at
            at = end
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            break
        at = _expect(text, at, ",")
    if (at := _skip(text, at + 1)) != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _value(text: str, at: int) -> tuple[Any, int]:
    value, end = _DECODER.raw_decode(text, at)
    if not text[at:end].isascii():
        value = json.loads(text[at:end].encode("latin-1"))
    return value, end


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _expect(text: str, at: int, character: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != character:
        raise json.JSONDecodeError(f"Expecting {character!r}", text, at)
    return _skip(text, at + 1)
