"""`init` recognises models by looking, runs none, and names all that can be asked for."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import yaml
from test_model_pages import PAGES, pickled_page, timm_page

from audit.dataset.foregrounds import FOREGROUNDS
from audit.dataset.readers import READERS
from audit.errors import ManifestError, ModelError
from audit.manifest import load_manifest
from audit.models import MODELS, load_model
from audit.models.drafts import draft_model
from audit.models.hashes import file_sha256
from audit.models.probe import count_outputs
from audit.plugin_options import options_of
from audit.plugins import bind
from flows.cli.further_options import further_options
from flows.cli.init import write_manifest

pytestmark = pytest.mark.filterwarnings("ignore")
# Deprecations of the libraries' own writers: timm, transformers, Lightning, torch.jit, torch.onnx.

SPECS = {"torchvision": "squeezenet.safetensors", "timm": "timm:test_resnet:model.safetensors"}
SPECS |= {"transformers": "vit/model.safetensors", "clip": "clip", "lightning": "last.ckpt"}
SPECS |= {"open_clip": "open_clip/open_clip_model.safetensors"}
SPECS |= {"exported": "model.pt2", "torchscript": "model.pt", "onnx": "model.onnx"}
SPECS |= {"pickled": "pickled:squeezenet1_1:model.pt"}
TABLES: dict[str, Any] = {"dataset": READERS, "foreground": FOREGROUNDS, "model": MODELS}


@pytest.fixture(autouse=True)
def few_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["resnet18", "squeezenet1_0", "squeezenet1_1", "regnet_y_400mf"]
    monkeypatch.setattr("audit.models.nearest.networks", lambda: names)


@pytest.mark.parametrize("kind", PAGES)
def test_a_model_is_recognised_and_its_manifest_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    PAGES[kind](tmp_path)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "1.jpg").write_bytes(b"read later")
    monkeypatch.chdir(tmp_path)
    _, draft = write_manifest(Path("mine.yaml"), "images", SPECS[kind], None, None)
    written = Path("mine.yaml").read_text()
    manifest = load_manifest(Path("mine.yaml"))
    assert manifest.model.loader == kind
    if draft.trust:
        # A person's decision, and one line to uncomment.
        with pytest.raises(ModelError, match="model.trust: missing"):
            load_model(manifest.model, tmp_path, torch.device("cpu"))
        assert not (tmp_path / "pid").exists()
        Path("mine.yaml").write_text(written.replace("# trust:", "trust:"))
        manifest = load_manifest(Path("mine.yaml"))
    assert bool(draft.trust) == (kind in ("exported", "torchscript", "pickled"))
    model = load_model(manifest.model, tmp_path, torch.device("cpu"))
    assert count_outputs(model) == 2
    assert all(
        f"# {option}:" in written
        for option in options_of(MODELS[kind])
        if option not in (*manifest.model.options, "trust")
    )


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section, table in TABLES.items() for name in table]
)
def test_every_option_is_a_comment_that_can_be_uncommented(section: str, name: str) -> None:
    function = TABLES[section][name]
    options = options_of(function)
    needed = {key for key, (default, _) in options.items() if default is inspect.Parameter.empty}
    text = further_options(function, name, needed)
    lines = re.findall(r"^  # ([a-z_]+:(?: .*)?)$", text, re.MULTILINE)
    read = yaml.safe_load("\n".join(lines)) or {}
    assert {*read} | needed == {*options}
    assert all(read[key] == options[key][0] for key in read)
    assert all(len(line) <= 100 for line in text.splitlines())
    bind(function, read, key=section)


def test_checkpoints_of_training_scripts(tmp_path: Path) -> None:
    network = timm_page(tmp_path)
    raw = network.state_dict()
    averaged = {
        key: value + 1 if value.is_floating_point() else value for key, value in raw.items()
    }
    file = tmp_path / "model_best.pth.tar"
    content = {"arch": "test_resnet", "state_dict": raw, "state_dict_ema": averaged, "version": 2}
    # As timm writes it: with the arguments of the script beside.
    torch.save(content | {"args": argparse.Namespace(lr=0.1), "epoch": 3}, file)
    draft = draft_model(str(file))
    assert draft.section == {
        "loader": "timm",
        "name": "test_resnet",
        "weights": file,
        "weights_entry": "state_dict_ema",
    }
    assert any("state_dict, state_dict_ema: state_dict_ema" in said for said in draft.guessed)
    section = load_manifest_of(tmp_path, draft.section)
    model = load_model(section, tmp_path, torch.device("cpu"))
    assert torch.equal(model.module.fc.bias, averaged["fc.bias"])
    assert any("stays unread" in said for said in model.remarks)
    # torch's own example of ImageNet names a network that both libraries have.
    state = torchvision.models.resnet18(num_classes=3).state_dict()
    torch.save({"arch": "resnet18", "state_dict": state}, file)
    assert draft_model(str(file)).section["loader"] == "torchvision"


def load_manifest_of(folder: Path, section: dict[str, Any]) -> Any:
    declared = {"name": "x", "dataset": {"root": "."}, "model": {**section}}
    declared["model"]["weights"] = str(section["weights"])
    (folder / "m.yaml").write_text(yaml.safe_dump(declared))
    return load_manifest(folder / "m.yaml").model


def test_a_folder_of_the_hub_for_timm(tmp_path: Path) -> None:
    timm_page(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet"}))
    for spec in (tmp_path, tmp_path / "model.safetensors"):
        draft = draft_model(str(spec))
        assert draft.section["name"] == "test_resnet"
        assert (
            load_model(
                load_manifest_of(tmp_path, draft.section), tmp_path, torch.device("cpu")
            ).class_names
            is None
        )


def test_a_regnet_is_known_by_its_weights_and_loaded(tmp_path: Path) -> None:
    network = torchvision.models.regnet_y_400mf(num_classes=3).eval()
    torch.save(
        {"net." + key: value for key, value in network.state_dict().items()}, tmp_path / "r.pt"
    )
    draft = draft_model(str(tmp_path / "r.pt"))
    assert draft.section["name"] == "regnet_y_400mf"
    model = load_model(load_manifest_of(tmp_path, draft.section), tmp_path, torch.device("cpu"))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model.module(images), network(images))


def test_names_of_timm_stand_for_it_and_unknown_names_for_nothing(tmp_path: Path) -> None:
    timm_page(tmp_path)
    file = tmp_path / "model.safetensors"
    assert draft_model(f"test_resnet:{file}").section["loader"] == "timm"
    with pytest.raises(ManifestError, match="no network 'test_resnet99' is known"):
        draft_model(f"test_resnet99:{file}")
    assert draft_model("timm:test_resnet").section["weights"] == "DEFAULT"
    with pytest.raises(ManifestError, match=r'which file\? Write "lightning:resnet18:FILE"'):
        draft_model("lightning:resnet18")


def test_a_pickled_network_is_named_and_never_unpickled(tmp_path: Path) -> None:
    pickled_page(tmp_path)
    with pytest.raises(ModelError, match=r"is a pickled object \(.*loader: pickled, name"):
        draft_model(str(tmp_path / "model.pt"))
    assert not (tmp_path / "pid").exists()
    draft = draft_model(f"pickled:squeezenet1_1:{tmp_path / 'model.pt'}")
    assert draft.trust == file_sha256(tmp_path / "model.pt")
    assert not (tmp_path / "pid").exists()
