"""A large JSON file, element by element, with the bytes at which each one stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from audit.errors import DatasetError

_LARGEST = 8 * 2**30
_AT_ONCE = 2**20
"""Bytes."""
_EDGE = 64
"""So near to the end of what was read, what seems wrong or done may go on."""
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_REMEDY = "Export the annotations again: such a file is cut off, or was never one of them."


def spans(path: Path) -> Iterator[tuple[str, Any, int, int]]:
    """Yield the values of a JSON object; of lists, their elements one by one.

    A window of the file is held as text, and one element as a Python object, at a time.

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
    with path.open("rb") as opened:
        window = _Window(opened)
        try:
            yield from _members(window)
        except json.JSONDecodeError as error:
            line, column = window.place(error)
            raise DatasetError(
                f"{path.name}: not valid JSON: {error.msg} at line {line}, column {column}. "
                f"{_REMEDY}"
            ) from error
        except RecursionError as error:
            raise DatasetError(f"{path.name}: brackets are nested too deeply. {_REMEDY}") from error
        except ValueError as error:
            raise DatasetError(f"{path.name}: not valid JSON: {error}. {_REMEDY}") from error


class _Window:
    """Part of a file as text, one character a byte, so that places in both are the same."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened
        self._text = ""
        self._at = 0
        self._before = 0
        self._lines, self._line_start = 0, 0
        self._is_last = False
        self._move_on()
        if self._text.startswith("\xef\xbb\xbf"):
            self._at = 3

    def _move_on(self) -> None:
        """Leave behind what was read, and read on: at least as much again as is left."""
        behind, left = self._text[: self._at], self._text[self._at :]
        if lines := behind.count("\n"):
            self._lines += lines
            self._line_start = self._before + behind.rindex("\n") + 1
        self._before += self._at
        more = self._opened.read(max(_AT_ONCE, len(left)))
        self._is_last = not more
        self._text, self._at = left + more.decode("latin-1"), 0

    def value(self) -> tuple[Any, int, int]:
        """The value that begins here, its start and its length; then stand behind it."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._is_last or not self._may_be_cut(error):
                    raise
            else:
                # A number goes on, perhaps.
                if self._is_last or end + _EDGE < len(self._text):
                    break
            self._move_on()
        start, length = self._before + self._at, end - self._at
        if not (part := self._text[self._at : end]).isascii():
            value = json.loads(part.encode("latin-1"))
        self._at = end
        return value, start, length

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        at_edge = error.pos + _EDGE >= len(self._text)
        return at_edge or error.msg.startswith("Unterminated string")

    def character(self) -> str:
        """The next character that is no space, where this now stands; "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text) or self._is_last:
                return self._text[self._at : self._at + 1]
            self._move_on()

    def take(self, character: str) -> None:
        """Stand behind a character that must be the next."""
        if self.character() != character:
            raise self.error(f"Expecting {character!r}")
        self._at += 1

    def error(self, text: str) -> json.JSONDecodeError:
        """What is wrong here."""
        return json.JSONDecodeError(text, self._text, self._at)

    def place(self, error: json.JSONDecodeError) -> tuple[int, int]:
        """Line and column of the file, each from 1."""
        if error.lineno > 1:
            return self._lines + error.lineno, error.colno
        return self._lines + 1, self._before + error.pos - self._line_start + 1


def _members(window: _Window) -> Iterator[tuple[str, Any, int, int]]:
    window.take("{")
    while window.character() != "}":
        yield from _member(window)
        if (character := window.character()) == ",":
            window.take(",")
        elif character != "}":
            raise window.error("Expecting ',' or '}'")
    window.take("}")
    if window.character():
        raise window.error("Extra data")


def _member(window: _Window) -> Iterator[tuple[str, Any, int, int]]:
    key, _, _ = window.value()
    if not isinstance(key, str):
        raise window.error("Expecting a key in double quotes")
    window.take(":")
    if window.character() != "[":
        yield key, *window.value()
        return
    window.take("[")
    while window.character() != "]":
        yield key, *window.value()
        if (character := window.character()) == ",":
            window.take(",")
        elif character != "]":
            raise window.error("Expecting ',' or ']'")
    window.take("]")
