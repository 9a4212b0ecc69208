"""What the loader `open_clip` takes and refuses, on tiny random models where it is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from audit.errors import ModelError
from audit.manifest import Manifest
from audit.models import AuditedModel, load_model

NAMES = ("n02123045_tabby", "polar_bear")
TOWER = {"layers": 1, "width": 16}
TINY: dict[str, Any] = {
    "embed_dim": 8,
    "vision_cfg": {**TOWER, "image_size": 32, "patch_size": 8, "head_width": 8},
    "text_cfg": {**TOWER, "heads": 2, "context_length": 16, "vocab_size": 49408},
}


def load(folder: Path, **declared: str) -> AuditedModel:
    (folder / "classes.txt").write_text("\n".join(NAMES))
    section = {"loader": "open_clip", "classes": "classes.txt", **declared}
    manifest = Manifest.model_validate({"name": "x", "dataset": {}, "model": section})
    return load_model(manifest.model, folder, torch.device("cpu"))


def folder_of(folder: Path, **changed: Any) -> Path:
    made = folder / "saved"
    made.mkdir()
    (made / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**TINY, **changed}}))
    return made


def test_a_missing_library_is_said_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ModelError, match=r"needs open_clip .*'saliency-audit\[open-clip\]'"):
        load(tmp_path, weights="saved")


@pytest.mark.parametrize("bias", [False, True])
def test_a_checkpoint_of_its_training_by_name(
    tmp_path: Path, bias: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A tower of texts of its own and a bias are what SigLIP has."""
    open_clip = pytest.importorskip("open_clip", reason="installed on request")
    config = {**TINY, **({"custom_text": True, "init_logit_bias": -10} if bias else {})}
    name = f"tiny-{bias}"
    (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / f"{name}.json")
    torch.manual_seed(0)
    network = open_clip.create_model(name).eval()
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"epoch": 1, "name": "run", "state_dict": state}, tmp_path / "epoch_1.pt")
    caplog.clear()
    model = load(tmp_path, weights="epoch_1.pt", name=name, template="a {}")
    # Its own words on random weights are not true of what is loaded here.
    assert caplog.records == []
    tokens = open_clip.get_tokenizer(name)(["a tabby", "a polar bear"])
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, _ = network.get_logits((images - model.mean) / model.std, tokens)
        assert torch.allclose(model(images), wanted, atol=1e-5)
    assert model.class_names == NAMES
    assert model.sha256 != load(tmp_path, weights="epoch_1.pt", name=name).sha256
    with pytest.raises(ModelError, match=f"no model 'tinny-{bias}'. Close: {name}"):
        load(tmp_path, weights="epoch_1.pt", name=f"tinny-{bias}")
    # One weight too few is no model of random weights.
    state.popitem()
    torch.save({"state_dict": state}, tmp_path / "epoch_2.pt")
    with pytest.raises(ModelError, match=r"does not fit|1 missing"):
        load(tmp_path, weights="epoch_2.pt", name=name)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, "fetches from the Hugging Face"),
        ({"vision_cfg": {"timm_model_name": "hf-hub:timm/vit"}}, "fetches from the Hugging Face"),
        ({"text_cfg": {"tokenizer_kwargs": {"trust_remote_code": True}}}, "trust_remote_code"),
    ],
)
def test_what_would_be_fetched_or_run_is_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    pytest.importorskip("open_clip", reason="installed on request")
    folder_of(tmp_path, **changed)
    (tmp_path / "saved" / "open_clip_model.safetensors").write_bytes(b"never read")
    with pytest.raises(ModelError, match=said):
        load(tmp_path, weights="saved")


def test_a_folder_without_weights_and_a_name_without_folder_are_said(tmp_path: Path) -> None:
    pytest.importorskip("open_clip", reason="installed on request")
    folder_of(tmp_path)
    with pytest.raises(ModelError, match="saved holds no weights: expected one of open_clip_model"):
        load(tmp_path, weights="saved")
    with pytest.raises(ModelError, match="fetches nothing"):
        load(tmp_path, weights="laion2b", name="ViT-B-32")
