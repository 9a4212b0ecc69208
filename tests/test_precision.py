"""``run.precision: bf16``: opt-in, named in the report, near float32, and not mixed up with it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from planted import CLASSES, leaner, write_dataset
from torch import nn

import audit
from audit.errors import RunFolderError
from audit.geometry import Geometry
from audit.manifest import load_manifest
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import METHODS, explain


def small_network(half: bool) -> AuditedModel:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.SiLU()),
        *(nn.Conv2d(16, 32, 3, 2), nn.BatchNorm2d(32), nn.SiLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)),
    )
    model = AuditedModel(network, None, Geometry(64), (0.5,) * 3, (0.25,) * 3)
    model.in_bfloat16 = half
    return model


@pytest.mark.parametrize("method", ["gradient", "gradcam"])
def test_maps_in_bfloat16_are_float32_near_those_in_float32(method: str) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    targets, found = torch.tensor([0, 1, 2]), []
    for half in (False, True):
        engine = Engine(small_network(half))
        explained = explain(engine, images, targets, method=METHODS[method], seeds=[0] * 3)
        assert explained.scores is not None
        assert explained.maps.dtype == explained.scores.dtype == torch.float32
        found.append((explained.maps, explained.scores))
    ((maps, scores), (half_maps, half_scores)) = found
    assert not torch.equal(scores, half_scores)
    assert float((scores - half_scores).abs().max()) < 0.05 * float(scores.abs().max())
    both = torch.stack([maps.flatten(1), half_maps.flatten(1)])
    assert float(nn.functional.cosine_similarity(both[0], both[1]).min()) > 0.9


def test_a_network_in_bfloat16_is_folded_and_works_in_bfloat16_still() -> None:
    model = small_network(half=True)
    folded = Engine(model).folded(torch.rand(1, 3, 64, 64))
    assert folded is not model
    assert folded.in_bfloat16 is True


def test_a_run_in_bfloat16_says_so(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=4)
    leaner(manifest)
    for precision, name in (("float32", "float32"), ("bf16", "bfloat16")):
        out = tmp_path / precision
        audit.run(manifest, out, device="cpu", overrides=[f"run.precision={precision}"])
        assert json.loads((out / "run.json").read_text())["precision"] == name
        said = "Computed in bfloat16" in (out / "report.html").read_text()
        assert said == (precision == "bf16")
        masses = pd.read_parquet(out / "scores.parquet")["foreground_mass"]
        assert len(masses) == 4 * len(CLASSES)
    with pytest.raises(RunFolderError, match="holds another audit"):
        audit.run(manifest, tmp_path / "float32", device="cpu", overrides=["run.precision=bf16"])


def test_precisions_have_fingerprints_of_their_own(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=2)
    keys = [
        load_manifest(manifest, [f"run.precision={precision}"]).scores_key()
        for precision in ("float32", "bf16")
    ]
    assert keys[0] != keys[1]
