"""What a batch gave comes back whole, in one copy."""

from __future__ import annotations

import pytest
import torch

from audit.measuring.device_results import DeviceResults


def test_numbers_come_back_under_their_names_and_unchanged() -> None:
    results = DeviceResults()
    first = results.keep(
        {"prediction": torch.tensor([3, 2**40]), "finite": torch.tensor([True, False])}
    )
    second = results.keep({"margin": torch.tensor([0.1, torch.nan, -2.5], dtype=torch.float64)})
    nothing = results.keep({"margin": torch.zeros(0)})
    results.send()
    assert first() == {"prediction": [3.0, 2.0**40], "finite": [1.0, 0.0]}
    again = second()["margin"]
    assert again[0] == 0.1
    assert again[1] != again[1]
    assert again[2] == -2.5
    assert nothing() == {"margin": []}


def test_nothing_is_read_that_was_not_sent() -> None:
    results = DeviceResults()
    read = results.keep({"margin": torch.zeros(2)})
    with pytest.raises(RuntimeError, match="send"):
        read()
