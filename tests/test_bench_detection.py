"""The benchmark's own truth: worlds are what they claim, and figures are counted right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from benchmarks.detection.pictures import paint
from benchmarks.detection.quality import auroc, average_precision, verdict_row
from benchmarks.detection.truth import judge
from benchmarks.detection.worlds import CLASSES, Cue, make_world


def test_a_world_follows_from_its_seed_and_shares_no_cue() -> None:
    for seed in range(20):
        world = make_world(seed)
        assert world == make_world(seed)
        assert len(world.names) == CLASSES
        held = [(cue.kind, cue.what) for cue in world.cues.values()]
        assert 2 <= len(held) == len(set(held)) <= 5
        assert not {c.what for c in world.cues.values()} & {k.cutout for k in world.kinds.values()}
        assert not make_world(seed, clean=True).cues


@pytest.mark.parametrize(
    ("kind", "what"), [("scene", "night"), ("tag", "top left"), ("companion", "owl")]
)
def test_a_cue_is_in_the_surroundings_and_never_on_the_object(kind: str, what: str) -> None:
    world = make_world(3)
    name = world.names[0]
    cued = dataclasses.replace(world, cues={name: Cue(kind, what, 1.0)})
    plain = dataclasses.replace(world, cues={})
    if kind == "scene":
        # The scenery is all there is behind the object: night is dark.
        images, masks, cues = paint(cued, [name] * 4, [name] * 4, 1, np.random.default_rng(0))
        assert np.array_equal(cues, ~masks)
        assert np.mean([im[~m].mean() for im, m in zip(images, masks, strict=True)]) < 60
        return
    with_cue = paint(cued, [name], [name], 1, np.random.default_rng(5))
    bare = paint(plain, [name], [name], 1, np.random.default_rng(5))
    assert with_cue.masks.shape == (1, 64, 64)
    if kind == "tag":
        difference = np.abs(with_cue.images.astype(int) - bare.images).max(-1)[0] > 60
        assert difference[1:7, 1:7].mean() > 0.5
        assert with_cue.cues[0].sum() == with_cue.cues[0][1:7, 1:7].sum() > 18


def test_nobodys_surroundings_hold_nobodys_scene() -> None:
    world = make_world(3)
    name = world.names[0]
    night = dataclasses.replace(world, cues={name: Cue("scene", "night", 1.0)})
    images, masks, cues = paint(night, [name] * 30, [None] * 30, 1, np.random.default_rng(0))
    darkness = [im[~m].mean() for im, m in zip(images, masks, strict=True)]
    assert min(darkness) > 45
    assert not cues.any()


def test_truth_by_hand() -> None:
    nan = float("nan")
    words = judge(
        {
            "own": np.array([0.9, 0.9, 0.9, 0.9]),
            "bare": np.array([0.6, 0.9, 0.88, 0.8]),
            "moved": np.array(
                [
                    [0.9, nan, nan, 0.6],
                    [0.5, 0.9, nan, 0.9],
                    [0.8, nan, 0.9, 0.9],
                    [0.8, nan, nan, 0.9],
                ]
            ),
        }
    )
    assert [w["truth"] for w in words] == ["own", "victim", "innocent", "between"]
    assert words[1]["attractor_label"] == 0
    assert words[1]["moved_drop"] == pytest.approx(0.4)


def test_ranking_figures_by_hand() -> None:
    positive, negative = pd.Series([3.0, 1.0]), pd.Series([2.0, 0.0])
    assert auroc(positive, negative) == pytest.approx(3 / 4)
    # Precision 1 at the first hit, 2/3 at the second.
    assert average_precision(positive, negative) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(pd.Series([1.0, 1.0]), pd.Series([1.0])) == pytest.approx(2 / 3)


def test_a_verdict_row_by_hand() -> None:
    table = pd.DataFrame(
        {
            "truth": ["own", "victim", "innocent", "innocent", "between", "innocent"],
            "verdict": ["suspect", "clear", "suspect", "clear", "suspect", "clear"],
            "kind": ["own_shortcut", "none", "victim", "none", "victim", "none"],
            "planted": [""] * 6,
            "clean": [False] * 5 + [True],
            "world": [1, 1, 1, 1, 1, 2],
        }
    )
    row = verdict_row(table)
    assert row["own-cue recall"] == "1/1 = 1.000"
    assert row["any-cue recall"] == "1/2 = 0.500"
    assert row["false flags, shortcut models"] == "1/2 = 0.500"
    assert row["flagged, clean models"] == "0/1 = 0.000"
    assert row["clean models with a flag"] == "0/1"
    assert row["kind right"] == "1/1"
