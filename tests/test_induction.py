from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from auditing import opened
from planted import SCENES, write_dataset

from audit.cues.find import Crop
from audit.cues.induction import gather_targets, induce

LABEL = 1
"""The planted class: it counts its scene, and others count their objects."""


def window(scene: int, place: tuple[int, int]) -> Crop:
    """A quarter of the input, all of one scene."""
    return Crop(np.broadcast_to(SCENES[scene], (8, 8, 3)).astype(np.uint8), 0, 0.5, place)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("cues"), (LABEL,), per_class=3)


def test_the_true_cue_raises_its_class_and_another_scene_does_not(manifest: Path) -> None:
    session = opened(manifest)
    rows = session.table.index[session.table["label"] != LABEL].tolist()
    places = [(0, 0), (0, 24), (24, 0)]
    with session.workbench() as bench:
        targets = gather_targets(rows, bench)
        assert targets is not None
        true = induce([window(LABEL, place) for place in places], targets, LABEL, bench)
        other = induce([window(3, place) for place in places], targets, LABEL, bench)
        lone = gather_targets(rows[:1], bench)
    assert len(true.raised) == len(rows)
    assert (true.raised > 0).all()
    assert np.abs(other.raised).max() < 0.1 * true.raised.mean()
    assert not other.became.any()
    # One photograph has nobody to lend it a control.
    assert lone is None


def test_what_is_answered_with_the_class_anyway_says_nothing(manifest: Path) -> None:
    session = opened(manifest)
    rows = session.table.index[session.table["label"] == LABEL].tolist()
    with session.workbench() as bench:
        targets = gather_targets(rows, bench)
        assert targets is not None
        found = induce([window(LABEL, (0, 0))], targets, LABEL, bench)
        hidden = dataclasses.replace(targets, background=targets.background & False)
        covered = induce([window(3, (0, 0))], hidden, 0, bench)
    assert len(found.raised) == 0
    assert len(covered.raised) == 0
