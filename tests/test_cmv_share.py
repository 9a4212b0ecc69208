"""How much of a class model visualization is background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from auditing import opened
from planted import CLASSES, OBJECTS, SCENES, write_dataset

from audit.cues.cmv_alignment import cmv_alignment
from audit.findings import IndicatorName, Says
from audit.pipeline import cmv_alignment as alignment
from audit.pipeline import measure
from audit.pipeline.cmvs import visualize_classes
from audit.pipeline.compose import compose
from audit.pipeline.decide import decide
from audit.pipeline.prepare import prepare
from audit.verdicts.cmv_share import background_shares
from audit.verdicts.indicators import cmv_indicator
from audit.verdicts.statistics import UNDEFINED, EffectSize

PLANTED = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictured")
    write_dataset(folder, [PLANTED], per_class=8)
    return folder


def flat(colour: np.ndarray) -> torch.Tensor:
    return torch.tensor(colour / 255, dtype=torch.float32)[:, None, None].expand(3, 32, 32)


def pictures() -> dict[int, torch.Tensor]:
    """What the planted classifier wants: the scene for the planted class, else the object."""
    return {
        label: flat(SCENES[label] if label == PLANTED else OBJECTS[label])
        for label in range(len(CLASSES))
    }


def test_the_picture_of_a_planted_class_is_background(folder: Path) -> None:
    overrides = ("interventions.fill=mean", "run.batch_size=7")
    session = opened(folder / "data_manifest.yaml", "", *overrides)
    with session.workbench() as bench:
        found = cmv_alignment(list(session.table.index), pictures(), bench)
        alone = cmv_alignment([0, 1], {0: flat(OBJECTS[0])}, bench)
    assert len(found) == len(session.table)
    assert len(alone) == 0
    shares = {label: share.value for label, share in background_shares(found, 0).items()}
    # Each picture is told apart from the mean of all, in which the planted scene is, too: a share
    # is to be compared with those of other classes.
    assert shares.pop(PLANTED) > 2 * max(shares.values())
    assert not any(m._forward_hooks for m in session.model.modules())


def test_a_share_is_the_backgrounds_part_of_what_is_alike() -> None:
    alignments = pd.DataFrame(
        {
            "label": np.repeat([0, 1, 2, 3], [6, 6, 6, 4]),
            # Class 2 has nothing in common with its picture, class 3 too few images.
            "like_object": [1.0, 5.0] * 3 + [-1.0] * 6 + [-1.0] * 6 + [1.0] * 4,
            "like_background": [2.0, 0.0] * 3 + [2.0] * 6 + [-2.0] * 6 + [1.0] * 4,
        }
    )
    shares = background_shares(alignments, 0)
    assert shares[0].value == pytest.approx(1 / 4)
    assert 0 <= shares[0].low < 1 / 4 < shares[0].high < 2 / 3
    assert (shares[1].value, shares[1].low, shares[1].high) == (1, 1, 1)
    assert all(np.isnan(shares[label].value) for label in (2, 3))
    assert background_shares(alignments, 0)[0] == shares[0]


@pytest.mark.parametrize(
    ("share", "says"),
    [
        ((0.6, 0.4, 0.8), Says.BACKGROUND),
        ((0.05, 0.0, 0.08), Says.OBJECT),
        ((0.25, 0.1, 0.4), Says.UNCLEAR),
    ],
)
def test_the_indicator_says_what_its_interval_allows(
    share: tuple[float, float, float], says: Says
) -> None:
    indicator = cmv_indicator(EffectSize(*share))
    assert indicator is not None
    assert indicator.says is says


def test_what_was_not_measured_is_no_indicator() -> None:
    assert cmv_indicator(UNDEFINED) is None


def test_shares_reach_the_findings_and_change_no_verdict(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("verdict.minimum_images=5", "cmv.classes=all", "cmv.steps=1")
    overrides += ("cmv.recipes=[robust]", "cmv.objectives=[logit]")
    session = opened(folder / "data_manifest.yaml", folder / "run", *overrides)
    run = session.run
    prepare(session)
    for shard in range(session.shards):
        measure.score(session, shard)
    measure.gather_scores(session)
    decided = decide(run, session.manifest)
    before = compose(run, decided).findings
    assert all(f.cmv_background_share is None for f in before)
    # A step of ascent reaches no class: of what failed nothing is said.
    alignment.align_cmvs(session, visualize_classes(session, decided))
    assert len(pd.read_parquet(run.cmv_alignment)) == 0
    findings = compose(run, decided).findings
    assert all(f.cmv_background_share is None for f in findings)
    ready = pictures()
    held = {"failure": None}
    monkeypatch.setattr(
        alignment, "comparable", lambda made: {e.label: e.model_copy(update=held) for e in made}
    )
    monkeypatch.setattr(alignment, "read_cmv", lambda _run, entry: ready[entry.label])
    alignment.align_cmvs(session, visualize_classes(session, decided))
    compose(run, decided)
    after = compose(run, decided).findings
    assert [f.verdict for f in after] == [f.verdict for f in before]
    table = pd.read_parquet(run.classes).set_index("label")
    for finding in after:
        share = finding.cmv_background_share
        assert share is not None
        assert share == table.loc[finding.label, "cmv_background_share"]
        assert (share > 0.5) == (finding.label == PLANTED)
        (indicator,) = [i for i in finding.indicators if i.name is IndicatorName.CMV]
        assert indicator.estimate.value == share
    # Once compared is enough.
    monkeypatch.setattr(alignment, "cmv_alignment", None)
    alignment.align_cmvs(session, visualize_classes(session, decided))
