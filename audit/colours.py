"""Colours as people see them: what can be read on what (WCAG 2.2, relative luminance)."""

from __future__ import annotations

READABLE = 4.5
"""Least contrast of text on its ground (WCAG 2.2, criterion 1.4.3)."""
VISIBLE = 3.0
"""Least contrast of a mark or a line that carries meaning (criterion 1.4.11)."""


def luminance(colour: str) -> float:
    """How light a colour is, from 0 (black) to 1 (white).

    Parameters
    ----------
    colour : str
        ``#rrggbb``.
    """
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 (the same) to 21 (black on white).

    Examples
    --------
    >>> round(contrast("#000000", "#ffffff"), 1), round(contrast("#767676", "#ffffff"), 2)
    (21.0, 4.54)
    """
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
