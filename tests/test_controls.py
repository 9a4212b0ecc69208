"""The run's checks of itself: they pass where they should, and can fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from auditing import audited
from planted import ColourCounter, write_dataset
from scipy import stats

from audit.errors import ModelError
from audit.findings import (
    Code,
    Control,
    ControlName,
    PlantedTag,
    Reason,
    UntrainedLifts,
    read_controls,
    read_findings,
)
from audit.geometry import Geometry
from audit.manifest import VerdictSection
from audit.measuring.controls import GAINS, presence, probed, tag_of, with_tag
from audit.measuring.map_checks import OTHERS
from audit.measuring.randomised import untrained
from audit.models import AuditedModel
from audit.run_folder import RunFolder
from audit.verdicts.controls import positive_control, untrained_control


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("clean")
    return audited(write_dataset(folder), folder / "run")


def controls(run: RunFolder) -> dict[ControlName, Control]:
    return {c.name: c for c in read_findings(run.findings).controls}


def test_a_clean_run_passes_its_controls(clean: RunFolder) -> None:
    found = controls(clean)
    assert found[ControlName.NEGATIVE].passed is True
    positive = found[ControlName.POSITIVE]
    assert positive.passed is True
    told = dict(positive.found)["values"]
    assert (told["gain_2"], told["found_2"], told["tested_2"]) == (1, 5, 5)
    assert set(pd.read_parquet(clean.classes)["verdict"]) == {"clear"}


def test_the_maps_of_a_run_are_tried(clean: RunFolder) -> None:
    measured = read_controls(clean.controls).maps
    assert measured is not None
    assert measured.images == len(measured.deletion.by_map) == len(measured.insertion.by_chance)
    assert [step.share for step in measured.cascade][-1] == 1.0
    assert {one.method for one in measured.agreements} <= {*OTHERS} - {measured.method}
    trust = read_findings(clean.findings).map_trust
    assert trust is not None
    assert (trust.method, trust.cascade) == (measured.method, measured.cascade)


def test_a_larger_gain_costs_more(clean: RunFolder) -> None:
    held = read_controls(clean.controls).tags
    by_gain = [np.mean([np.mean(tag.g) for tag in held if tag.gain == gain]) for gain in GAINS]
    assert by_gain == sorted(by_gain)
    margins = [np.mean([np.mean(tag.h) for tag in held if tag.gain == gain]) for gain in GAINS]
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
        PlantedTag(
            label=k,
            gain=1.0,
            g=tuple(random.normal(0, 0.01, 20)),
            h=tuple(random.normal(0, 0.1, 20)),
        )
        for k in range(5)
    ]
    judged = positive_control(blind, VerdictSection())
    assert judged.passed is False
    told = {"gain_1": 1.0, "found_1": 0, "tested_1": 5}
    assert judged.found == Reason(code=Code.TAGS_FOUND, values=told)
    seen = [tag.model_copy(update={"g": (0.5,) * 20, "h": (2.0,) * 20}) for tag in blind]
    assert positive_control(seen, VerdictSection()).passed is True
    # A tag that the class owes less to than can be found is named, and neither found nor missed.
    small = blind[0].model_copy(update={"effect": 0.06})
    judged = positive_control([small, *seen[1:]], VerdictSection())
    assert judged.passed is True
    told = {"gain_1": 1.0, "found_1": 4, "tested_1": 4, "small_1": 1}
    assert judged.found == Reason(code=Code.TAGS_FOUND, values=told)
    large = blind[0].model_copy(update={"effect": 0.3})
    assert positive_control([large, *seen[1:]], VerdictSection()).passed is False
    assert positive_control([small], VerdictSection()).passed is None
    unmade = positive_control((), VerdictSection())
    assert (unmade.passed, unmade.found.code) == (None, Code.NOT_MEASURED)


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
    trained, blank = (1.0, 2.0, 1.5, 1.2), (0.1, 0.0, -0.1, 0.2)
    judged = untrained_control(UntrainedLifts(trained=trained, untrained=blank))
    assert judged.passed is True
    told = dict(judged.found)["values"]
    assert told["p"] == pytest.approx(stats.ttest_rel(trained, blank).pvalue)
    assert told["lift"] == pytest.approx(1.425)
    assert told["images"] == 4
    same = UntrainedLifts(trained=blank, untrained=blank)
    assert untrained_control(same).passed is False
    assert untrained_control(UntrainedLifts()).passed is None


def test_without_foregrounds_nothing_is_claimed(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path)
    run = audited(manifest, tmp_path / "run", "foreground={source: none}")
    found = controls(run)
    # Nothing is swapped; the maps are tried all the same.
    trust = read_findings(run.findings).map_trust
    assert trust is not None
    assert trust.deletion.value is not None
    assert {control.passed for control in found.values()} == {None}


def test_a_network_that_shows_no_weights_has_no_untrained_one() -> None:
    class Graph(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3))

    with pytest.raises(ModelError, match="shows no weights"):
        untrained(AuditedModel(Graph(), None, Geometry(32, None, "none")), 0)
