"""The saliency method of a run, where the one that was asked for cannot serve the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from auditing import opened
from planted import write_dataset
from typer.testing import CliRunner

from audit.pipeline.prepare import _settings
from flows.cli import app

LOADERS = """
import torch
from torch import nn


def flat(device):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 6))


def convolutional(device):
    torch.manual_seed(0)
    maps = nn.Conv2d(3, 8, 8, stride=4)
    return nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6))
"""


@pytest.mark.parametrize(
    ("loader", "taken", "said"),
    [
        ("flat", "gradient", "gradient in place of gradcam, since no layer"),
        ("convolutional", "gradcam", "gradcam"),
    ],
)
def test_check_and_the_settings_of_the_run_name_the_method_that_is_taken(
    loader: str, taken: str, said: str, tmp_path: Path
) -> None:
    manifest = write_dataset(tmp_path, [], per_class=2)
    (tmp_path / "some_networks.py").write_text(LOADERS)
    changes = (f"model.loader=some_networks:{loader}", "saliency.method=gradcam")
    arguments = ["check", str(manifest), "--json", *("--set", changes[0], "--set", changes[1])]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["saliency_method"] == taken
    warned = [text for text in found["warnings"] if text.startswith("saliency.method: ")]
    assert [text.startswith(f"saliency.method: {said}") for text in warned] == [True] * (
        taken != "gradcam"
    )
    settings = _settings(opened(manifest, tmp_path / "run", *changes))
    assert settings["saliency method"].startswith(said)
    assert settings.get("saliency layer") == ("0, 7 x 7" if taken == "gradcam" else None)
