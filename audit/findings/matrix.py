"""Whose background makes it whom: the swaps, class by class."""

from __future__ import annotations

from pydantic import Field

from audit.findings.values import (
    Number,
    Record,
)


class MatrixCell(Record):
    """What the backgrounds of one class did to the objects of another."""

    label: int
    donor_label: int
    swaps: int = Field(ge=0)
    became_donor: int = Field(ge=0)
    lost: int = Field(ge=0)
    mean_lost_probability: Number = None


class MatrixClass(Record):
    """The objects of one class on the backgrounds of all others."""

    label: int
    label_name: str
    swaps: int = Field(ge=0)
    lost: int = Field(ge=0)


class SwapMatrix(Record):
    """Whose background makes it whom, for the classes where most happens."""

    classes: tuple[MatrixClass, ...] = ()
    cells: tuple[MatrixCell, ...] = ()
    left_out: int = Field(default=0, ge=0)
    swaps: int = Field(default=0, ge=0)
    became_donor: int = Field(default=0, ge=0)
    became_donor_shown: int = Field(default=0, ge=0)
