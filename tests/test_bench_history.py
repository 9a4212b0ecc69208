"""The benchmark of nights: its shortcut is exact, and its intervals are the textbook's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd

from benchmarks.history.__main__ import share
from benchmarks.history.questions import Screen
from benchmarks.history.resampling import World


def world(losses: list[float]) -> World:
    """Images of one class that lose so much of their probability, without a follow-up."""
    scores = pd.DataFrame(
        {
            "sample_id": [f"{place}" for place in range(len(losses))],
            "label": 0,
            "label_name": "ant",
            "margin": 1.0,
            "swap_same_margin": 1.0,
            "swap_other_margin": 0.5,
            "swap_other_own_margin": 0.5,
            "swap_same_probability": 0.9,
            "swap_other_probability": 0.9 - np.asarray(losses),
            "swap_same_predictions": [[0]] * len(losses),
        }
    )
    columns = ["sample_id", "label", "donor_label", "prediction", "probability", "margin"]
    manifest = SimpleNamespace(verdict=SimpleNamespace(effect=0.1))
    empty = pd.DataFrame(columns=columns).astype({"probability": float, "margin": float})
    return World("made", cast(Any, manifest), cast(Any, None), scores, empty, {"ant": "clean"})


def test_a_week_is_judged_in_full_exactly_where_a_mean_loss_reaches_the_floor() -> None:
    held = world([0.0, 0.05, 0.12, 0.4])
    weeks = np.array([[0, 1], [1, 2], [2, 2], [0, 3]])
    assert Screen(held).may_alarm({"ant": weeks}).tolist() == [False, False, True, True]


def test_a_share_has_the_exact_interval() -> None:
    assert share(0, 200) == "0 of 200 = 0.000 (0.000 to 0.018)"
    assert share(0, 0) == "0 of 0"
