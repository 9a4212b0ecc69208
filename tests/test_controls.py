"""The run's checks of itself: they pass where they should, and can fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from auditing import audited
from planted import ColourCounter, write_dataset
from scipy import stats

from audit.geometry import Geometry
from audit.manifest import VerdictSection
from audit.measuring.controls import GAINS, presence, probed, tag_of, untrained, with_tag
from audit.models import AuditedModel
from audit.run_folder import RunFolder
from audit.verdicts.controls import positive_control, untrained_control


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("clean")
    return audited(write_dataset(folder), folder / "run")


def controls(run: RunFolder) -> dict[str, dict[str, object]]:
    held = json.loads(run.findings.read_text())["controls"]
    return {control["name"]: control for control in held}


def test_a_clean_run_passes_its_controls(clean: RunFolder) -> None:
    found = controls(clean)
    assert found["Negative control"]["passed"] is True
    assert found["Positive control"]["passed"] is True
    assert "gain 1: 5 of 5 found" in str(found["Positive control"]["found"])
    assert set(pd.read_parquet(clean.classes)["verdict"]) == {"clear"}


def test_a_larger_gain_costs_more(clean: RunFolder) -> None:
    held = json.loads(clean.controls.read_text())["tags"]
    by_gain = [np.mean([np.mean(one["g"]) for one in held if one["gain"] == g]) for g in GAINS]
    assert by_gain == sorted(by_gain)
    margins = [np.mean([np.mean(one["h"]) for one in held if one["gain"] == g]) for g in GAINS]
    # The probe takes exactly the gain, where no object covers the tag.
    assert margins[1] / margins[0] == pytest.approx(GAINS[1] / GAINS[0], rel=0.1)


def test_the_probe_reads_its_tag_and_nothing_else() -> None:
    tag = tag_of(32)
    images = torch.full((2, 3, 32, 32), 0.5)
    assert presence(with_tag(images, tag), tag).tolist() == [1.0, 1.0]
    assert presence(images, tag).tolist() == [0.0, 0.0]
    half = with_tag(images, tag)
    half[:, :, : tag.shape[1] // 2] = 0.5
    assert presence(half, tag).tolist() == pytest.approx([0.5, 0.5])
    scores = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    assert probed(scores, 1, torch.tensor([1.0, 0.25]), 4.0).tolist() == [[1, 2], [1, -1]]
    assert torch.equal(images, torch.full((2, 3, 32, 32), 0.5))


def test_an_unseen_tag_fails_the_positive_control() -> None:
    random = np.random.default_rng(0)
    blind = [
        {"label": k, "gain": 1.0, "g": list(random.normal(0, 0.01, 20)),
         "h": list(random.normal(0, 0.1, 20))}
        for k in range(5)
    ]  # fmt: skip
    judged = positive_control(blind, VerdictSection())
    assert judged["passed"] is False
    assert judged["found"] == "gain 1: 0 of 5 found"
    seen = [one | {"g": [0.5] * 20, "h": [2.0] * 20} for one in blind]
    assert positive_control(seen, VerdictSection())["passed"] is True
    assert positive_control((), VerdictSection())["passed"] is None


def test_an_untrained_network_has_the_form_and_not_the_weights() -> None:
    model = AuditedModel(ColourCounter(), None, Geometry(32, None, "none"), [0] * 3, [1] * 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    blank = untrained(model, 0)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert blank(images).shape == model(images).shape
    assert not torch.allclose(blank(images), model(images))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    again = untrained(model, 0)
    assert torch.equal(blank(images), again(images))


def test_the_untrained_control_by_hand() -> None:
    trained, blank = [1.0, 2.0, 1.5, 1.2], [0.1, 0.0, -0.1, 0.2]
    judged = untrained_control({"trained": trained, "untrained": blank})
    p_value = stats.ttest_rel(trained, blank).pvalue
    assert judged["passed"] is True
    assert f"p = {p_value:.2g}" in judged["found"]
    assert untrained_control({"trained": blank, "untrained": blank})["passed"] is False
    assert untrained_control({})["passed"] is None


def test_without_foregrounds_nothing_is_claimed(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path)
    found = controls(audited(manifest, tmp_path / "run", "foreground={source: none}"))
    assert {control["passed"] for control in found.values()} == {None}
