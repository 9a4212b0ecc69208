"""Can these maps be believed: what is measured of them fails where it should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pages import NAMES, parse
from painted import change, write_run
from torch import Tensor, nn

from audit.dataset.batches import Batch
from audit.findings import (
    Estimate,
    MapAgreement,
    MapChecks,
    MapOrder,
    MapTrust,
    RandomisedMaps,
    read_findings,
)
from audit.geometry import Geometry
from audit.manifest import ReportSection
from audit.measuring.map_checks import forgetting, orders, similarity
from audit.measuring.part_findings import SwapMap
from audit.measuring.part_regression import Total
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.report.render import render_report
from audit.report.sentences.maps import map_trials
from audit.verdicts.maps import judge_maps

SIDE = 28


class Corner(nn.Module):
    """Class 1 is how bright the upper left quarter is; class 0 is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, images: Tensor) -> Tensor:
        bright = images[:, :, : SIDE // 2, : SIDE // 2].mean((1, 2, 3)) - 0.5
        return torch.stack([0 * bright, self.scale * bright], 1)


def batch_of(count: int) -> Batch:
    pictures = torch.zeros(count, 3, SIDE, SIDE, dtype=torch.uint8)
    pictures[:, :, : SIDE // 2, : SIDE // 2] = 255
    return Batch(
        images=pictures,
        foreground=torch.zeros(count, SIDE, SIDE, dtype=torch.bool),
        ignored=torch.zeros(count, SIDE, SIDE, dtype=torch.bool),
        targets=torch.ones(count, dtype=torch.int64),
        has_foreground=torch.zeros(count, dtype=torch.bool),
        label_names=("bright",) * count,
        ids=tuple(f"{place}.png" for place in range(count)),
        rows=tuple(range(count)),
        loaded=(),
        unreadable=(),
    )


def test_the_order_of_a_true_map_moves_the_class_and_that_of_a_wrong_one_does_not() -> None:
    model = Engine(AuditedModel(Corner(), None, Geometry(SIDE), [0] * 3, [1] * 3))
    batch, true = batch_of(3), torch.zeros(3, SIDE, SIDE)
    true[:, : SIDE // 2, : SIDE // 2] = 1 + torch.rand(3, SIDE // 2, SIDE // 2)
    for maps, passes in ((true, True), (true.flip(1, 2), False)):
        deletion, insertion = orders(model, batch, maps, seed=0)
        judged = judge_maps(
            MapChecks(method="gradcam", images=3, deletion=deletion, insertion=insertion)
        )
        assert judged is not None
        for effect in (judged.deletion, judged.insertion):
            assert effect.low is not None
            assert effect.value is not None
            assert (effect.low > 0) is passes
            assert (effect.value > 0) is passes
    again = orders(model, batch, true, seed=0)
    assert again[0].by_chance == orders(model, batch, true.flip(1), seed=0)[0].by_chance


def test_a_network_forgets_from_its_end_and_the_original_does_not() -> None:
    network = nn.Sequential(*(nn.Linear(4, 4) for _ in range(8)))
    model = AuditedModel(network, None, Geometry(SIDE), [0] * 3, [1] * 3)
    before = [layer.weight.clone() for layer in network]
    seen = []
    for name, share, blank in forgetting(model, 0):
        kept = [
            torch.equal(one, layer.weight) for one, layer in zip(before, blank.module, strict=True)
        ]
        seen.append((name, share, kept.count(False)))
        assert kept == sorted(kept, reverse=True)
    assert seen == [
        ("7", 0.125, 1),
        ("6", 0.25, 2),
        ("4", 0.5, 4),
        ("2", 0.75, 6),
        ("0", 1.0, 8),
    ]
    assert all(torch.equal(one, layer.weight) for one, layer in zip(before, network, strict=True))


def test_similarity_is_a_mean_of_rank_correlations() -> None:
    maps = torch.rand(2, SIDE, SIDE)
    assert similarity(maps, maps) == pytest.approx(1)
    assert similarity(maps, -maps) == pytest.approx(-1)
    assert similarity(maps, torch.cat([maps[:1], -maps[1:]])) == pytest.approx(0)
    assert math.isnan(similarity(maps, torch.zeros_like(maps)))


def test_a_swap_map_agrees_with_what_lies_where_the_class_loses() -> None:
    places = np.eye(4).reshape(4, 2, 2)[:3]
    parts = np.kron(places, np.ones((1, 4, 4))).astype(bool)
    effects, nothing = np.array([-3.0, 0.5, -1.0]), Total(0.0, 1.0)
    held = SwapMap(parts, np.zeros(3, bool), 0, effects, np.ones(3), nothing, nothing, nothing)
    saliency = np.kron(np.array([[9.0, 0.0], [2.0, 7.0]], np.float32), np.ones((4, 4)))
    assert held.agreement(saliency.astype(np.float32)) == pytest.approx(1)
    assert held.summary(["sea"], 0, saliency.max() - saliency).agreement == pytest.approx(-1)
    assert held.summary(["sea"], 0).agreement is None


def checks(last: float, by_map: float) -> MapChecks:
    order = MapOrder(by_map=(by_map, by_map + 0.01), by_chance=(0.5, 0.5))
    return MapChecks(
        method="gradcam",
        images=2,
        cascade=(
            RandomisedMaps(layer="fc", share=0.1, similarity=0.9),
            RandomisedMaps(layer="conv", share=1.0, similarity=last),
        ),
        deletion=order,
        insertion=MapOrder(by_map=order.by_chance, by_chance=order.by_map),
        agreements=(MapAgreement(method="gradient", similarity=None),),
    )


def test_maps_are_judged_by_what_was_measured() -> None:
    assert judge_maps(None) is None
    good, bad = judge_maps(checks(0.1, 0.2)), judge_maps(checks(-0.8, 0.7))
    assert good is not None
    assert bad is not None
    assert (good.sensitive, bad.sensitive) == (True, False)
    assert good.deletion.value == pytest.approx(0.295)
    assert bad.insertion.high is not None
    assert bad.insertion.high < 0
    blank = judge_maps(MapChecks(method="gradcam", images=1))
    assert blank == MapTrust(method="gradcam", images=1, deletion=Estimate())


@pytest.mark.parametrize(
    ("language", "reserve"), [("en", "Not without reserve"), ("de", "Nicht ohne Vorbehalt")]
)
def test_what_fails_is_said_plainly(tmp_path, language: str, reserve: str) -> None:
    run = write_run(tmp_path, NAMES[:2])
    settings = ReportSection(language=language)
    assert map_trials(read_findings(run / "findings.json")) == []
    page = render_report(run, ["html"], settings)["html"]
    assert 'id="map-trust"' not in page.read_text()
    for made, failed in ((checks(0.1, 0.2), 0), (checks(0.8, 0.7), 3)):
        change(run, lambda held, m=made: held.model_copy(update={"map_trust": judge_maps(m)}))
        trials = map_trials(read_findings(run / "findings.json"))
        assert sum(trial.passed is False for trial in trials) == failed
        shown = parse(render_report(run, ["html"], settings)["html"].read_text()).text
        assert (reserve in shown) is (failed > 0)
