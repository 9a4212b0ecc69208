"""Whose background makes it whom, as a table: one row a class of objects."""

from __future__ import annotations

from dataclasses import dataclass

from audit.findings import MatrixCell, MatrixClass, SwapMatrix

CLASSES = 12
_SHADES = 4


@dataclass(frozen=True)
class MatrixRow:
    """The objects of one class; None stands where the pair never met or is one class."""

    of: MatrixClass
    cells: tuple[MatrixCell | None, ...]


def matrix_rows(matrix: SwapMatrix) -> tuple[MatrixRow, ...]:
    """Lay the cells of a matrix into rows, for the first :data:`CLASSES` classes."""
    classes = matrix.classes[:CLASSES]
    cells = {(cell.label, cell.donor_label): cell for cell in matrix.cells}
    return tuple(
        MatrixRow(row, tuple(cells.get((row.label, donor.label)) for donor in classes))
        for row in classes
    )


def shade(cell: MatrixCell) -> int:
    """How dark a cell is, 0 to 4: the figure carries the meaning, the shade repeats it in quarters.

    Examples
    --------
    >>> cell = MatrixCell(label=0, donor_label=1, swaps=8, became_donor=8, lost=8)
    >>> shade(cell), shade(cell.model_copy(update={"became_donor": 1}))
    (4, 1)
    """
    if not cell.became_donor or not cell.swaps:
        return 0
    return min(_SHADES, 1 + int(_SHADES * cell.became_donor / cell.swaps))
