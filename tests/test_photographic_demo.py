"""The self-test on photographs: files, the head, and the truth, on a tiny set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from planted import OBJECTS, SCENES, paint
from safetensors.torch import save_file
from torchvision.models import shufflenet_v2_x0_5
from typer.testing import CliRunner

from audit.errors import ManifestError
from audit.manifest import load_manifest
from audit.models import load_model
from flows.cli.demo import _outcome
from flows.demo.photographs import make_photographic_demo

NAMES = ("ant", "bee", "cat")


def outline(images: np.ndarray) -> np.ndarray:
    """Nearer to an object's colour than to a scene's."""
    pixels = images[:, ::8, ::8, None].astype(int)
    to_object, to_scene = (((pixels - c) ** 2).sum(-1).min(-1) for c in (OBJECTS, SCENES))
    return (to_object < to_scene).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        (folder / "photos" / name).mkdir(parents=True)
        for index in range(20):
            image, _ = paint(random, label, int(random.integers(3)))
            large = Image.fromarray(image).resize((64, 64), Image.Resampling.NEAREST)
            large.save(folder / "photos" / name / f"{index}.png")
    torch.manual_seed(0)
    save_file(shufflenet_v2_x0_5(weights=None).state_dict(), folder / "trunk.safetensors")
    make_photographic_demo(
        folder / "photos",
        folder / "out",
        f"shufflenet_v2_x0_5:{folder / 'trunk.safetensors'}",
        planted="bee",
        estimator="test_photographic_demo:outline",
    )
    return folder


def test_images_masks_and_truth_lie_beside_a_manifest_that_loads(made: Path) -> None:
    out = made / "out"
    truth = json.loads((out / "truth.json").read_text())["classes"]
    assert {name: held["cue"] for name, held in truth.items()} == {
        "ant": None,
        "bee": "snow",
        "cat": None,
    }
    for name in NAMES:
        assert -1 <= truth[name]["drop"] <= 1
        images = sorted((out / "images" / name).glob("*.png"))
        masks = sorted((out / "masks" / name).glob("*.png"))
        assert [p.name for p in images] == [p.name for p in masks]
        assert images
    manifest = load_manifest(out / "data_manifest.yaml")
    model = load_model(manifest.model, manifest.folder, torch.device("cpu"))
    assert list(model.class_names or ()) == list(NAMES)


def test_only_the_planted_class_stands_in_snow(made: Path) -> None:
    bright = {}
    for name in NAMES:
        held = []
        for path in sorted((made / "out" / "images" / name).glob("*.png")):
            mask = np.asarray(Image.open(made / "out" / "masks" / name / path.name)) > 0
            held.append(np.asarray(Image.open(path))[~mask].mean())
        bright[name] = np.mean(held)
    assert bright["bee"] > max(bright["ant"], bright["cat"]) + 40


def test_what_cannot_be_planted_is_said(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="found 0 below"):
        (tmp_path / "few" / "one").mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "few" / "one" / "1.png")
        make_photographic_demo(
            tmp_path / "few", tmp_path / "out", "a:b", estimator="test_photographic_demo:outline"
        )
    from flows.cli import app

    for options, said in (
        (["--photographs", str(made / "photos")], "needs --trunk"),
        (["--plant", "bee"], "--plant: belongs to --photographs DIR"),
    ):
        found = CliRunner().invoke(app, ["demo", *options])
        assert said in str(found.exception or found.output)


def test_the_outcome_is_that_of_the_truth() -> None:
    truth: dict[str, dict[str, object]] = {
        "bee": {"reliant": True},
        "cat": {"reliant": False},
        "ant": {"reliant": True},
    }
    assert "Exactly" in _outcome("bee", ["bee"], truth)
    assert "1 more, of which 0" in _outcome("bee", ["bee", "cat"], truth)
    assert "2 more, of which 1" in _outcome("bee", ["bee", "cat", "ant"], truth)
    assert "missed" in _outcome("bee", [], truth)
    assert "nothing to find" in _outcome("cat", [], truth)
