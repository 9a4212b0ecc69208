from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from auditing import opened
from planted import SCENES, write_dataset

from audit.cues.find import Crop
from audit.cues.induction import Induction, Photographs, gather_photographs, induce
from audit.pipeline.session import Session

LABEL = 1
"""The planted class: it counts its scene, and others count their objects."""


def window(scene: int, place: tuple[int, int]) -> Crop:
    """A quarter of the input, all of one scene."""
    return Crop(np.broadcast_to(SCENES[scene], (8, 8, 3)).astype(np.uint8), 0, 0.5, place)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("cues"), (LABEL,), per_class=3)


@pytest.fixture(scope="module")
def gathered(manifest: Path) -> tuple[Session, Photographs, Photographs]:
    """Photographs of other classes than the planted one, and of that one."""
    session = opened(manifest)
    labels = session.table["label"]
    with session.workbench() as bench:
        others = gather_photographs(labels.index[labels != LABEL].tolist(), bench)
        own = gather_photographs(labels.index[labels == LABEL].tolist(), bench)
    assert others is not None
    assert own is not None
    return session, others, own


@pytest.mark.parametrize("all_over", [False, True])
def test_the_true_cue_raises_its_class_and_another_scene_does_not(
    gathered: tuple[Session, Photographs, Photographs], all_over: bool
) -> None:
    session, targets, _ = gathered
    places = [(0, 0), (0, 24), (24, 0)]
    with session.workbench() as bench:

        def tried(scene: int) -> Induction:
            windows = [window(scene, place) for place in places]
            return induce(windows, targets, targets, LABEL, bench, all_over=all_over)

        true, other = tried(LABEL), tried(3)
    assert len(true.raised) == len(targets.rows)
    assert (true.raised > 0).all()
    assert np.abs(other.raised).max() < 0.1 * true.raised.mean()
    assert not other.became.any()


def test_a_scene_is_tried_all_over_the_background(
    gathered: tuple[Session, Photographs, Photographs],
) -> None:
    """The planted class counts pixels of its scene, of which one window has few."""
    session, targets, _ = gathered
    with session.workbench() as bench:
        cue = [window(LABEL, (0, 0))]
        here = induce(cue, targets, targets, LABEL, bench)
        everywhere = induce(cue, targets, targets, LABEL, bench, all_over=True)
    assert everywhere.raised.min() > 3 * here.raised.mean() > 0


def test_what_is_answered_with_the_class_anyway_says_nothing(
    gathered: tuple[Session, Photographs, Photographs],
) -> None:
    session, others, own = gathered
    hidden = dataclasses.replace(own, background=own.background & False)
    with session.workbench() as bench:
        for all_over in (False, True):
            found = induce([window(LABEL, (0, 0))], own, others, LABEL, bench, all_over=all_over)
            covered = induce([window(3, (0, 0))], hidden, others, 0, bench, all_over=all_over)
            assert len(found.raised) == 0
            assert len(covered.raised) == 0


def test_no_photograph_lends_to_itself(gathered: tuple[Session, Photographs, Photographs]) -> None:
    session, others, own = gathered
    first = slice(0, 1)
    lone = Photographs(
        others.rows[:1], others.images[first], others.background[first], others.filled[first]
    )
    with session.workbench() as bench:
        cue = [window(LABEL, (0, 0))]
        assert len(induce(cue, lone, lone, LABEL, bench).raised) == 0
        assert len(induce(cue, lone, own, LABEL, bench).raised) == 1
