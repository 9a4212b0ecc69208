"""What a batch gave comes back whole, in one copy."""

from __future__ import annotations

import pytest
import torch

from audit.measuring.readings import Readings


def test_numbers_come_back_under_their_names_and_unchanged() -> None:
    readings = Readings()
    first = readings.keep(
        {"prediction": torch.tensor([3, 2**40]), "finite": torch.tensor([True, False])}
    )
    second = readings.keep({"margin": torch.tensor([0.1, torch.nan, -2.5], dtype=torch.float64)})
    nothing = readings.keep({"margin": torch.zeros(0)})
    readings.send()
    assert first() == {"prediction": [3.0, 2.0**40], "finite": [1.0, 0.0]}
    again = second()["margin"]
    assert again[0] == 0.1
    assert again[1] != again[1]
    assert again[2] == -2.5
    assert nothing() == {"margin": []}


def test_nothing_is_read_that_was_not_sent() -> None:
    readings = Readings()
    read = readings.keep({"margin": torch.zeros(2)})
    with pytest.raises(RuntimeError, match="send"):
        read()
