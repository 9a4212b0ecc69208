"""Weights as training scripts leave them: wrapped, averaged, renamed, without counters."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from audit.errors import ModelError
from audit.manifest import ModelSection
from audit.models import AuditedModel, load_model
from audit.models.probe import count_outputs

CPU = torch.device("cpu")
SMALL = "shufflenet_v2_x0_5"


def load(folder: Path, content: Any, name: str = SMALL, **more: Any) -> AuditedModel:
    torch.save(content, folder / "weights.pt")
    values = {"loader": "torchvision", "name": name, "weights": "weights.pt", **more}
    return load_model(ModelSection.model_validate(values), folder, CPU)


def small(classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.get_model(SMALL, num_classes=classes).eval()
    return network


def same(model: AuditedModel, network: nn.Module, side: int = 64) -> bool:
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = network.eval()((images - model.mean) / model.std)
        return torch.allclose(model(images), wanted, atol=1e-5)


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


WRAPPED: dict[str, Callable[[nn.Module], Any]] = {
    "compiled in DataParallel": lambda net: prefixed(net.state_dict(), "module._orig_mod."),
    "DataParallel in compiled": lambda net: prefixed(net.state_dict(), "_orig_mod.module."),
    "averaged": lambda net: AveragedModel(net).state_dict(),
    "lightning": lambda net: {"state_dict": prefixed(net.state_dict(), "model."), "epoch": 1},
    "lightning, net, with a loss": lambda net: {
        "state_dict": {**prefixed(net.state_dict(), "net."), "criterion.weight": torch.ones(5)}
    },
    "deep": lambda net: {"checkpoint": {"state_dict": prefixed(net.state_dict(), "a.b.module.")}},
    "with an optimiser": lambda net: {
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": torch.optim.SGD(net.parameters(), 0.1, 0.9).state_dict(),
        "epoch": 1,
    },
    "without counters": lambda net: {
        key: value for key, value in net.state_dict().items() if "num_batches" not in key
    },
}


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_whatever_wraps_the_weights_the_network_answers_as_it_did(
    tmp_path: Path, wrapping: str
) -> None:
    network = small()
    model = load(tmp_path, WRAPPED[wrapping](network))
    assert count_outputs(model) == 5
    assert same(model, network)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("name", ["mnasnet0_5", "mnasnet1_0"])
def test_a_network_that_asks_for_its_version_is_loaded(
    tmp_path: Path, name: str, suffix: str
) -> None:
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, num_classes=4).eval()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path)
    values = {"loader": "torchvision", "name": name, "weights": path.name}
    model = load_model(ModelSection.model_validate(values), tmp_path, CPU)
    assert count_outputs(model) == 4
    assert same(model, network)


def test_names_of_former_releases_are_renamed_by_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    dense = torchvision.models.densenet121(num_classes=3).eval()
    state = dense.state_dict()
    former = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key): value for key, value in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in former
    assert same(load(tmp_path, former, "densenet121"), dense)
    vit = torchvision.models.vit_b_32(num_classes=3, image_size=32).eval()
    with pytest.raises(ModelError, match=r"of another shape \(encoder.pos_embedding \(1, 2, 768\)"):
        # Of another input, but not of other names.
        load(
            tmp_path,
            {
                key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
                for key, value in vit.state_dict().items()
            },
            "vit_b_32",
        )


def averaged(network: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    raw = network.state_dict()
    return raw, {k: v + 1 if v.is_floating_point() else v for k, v in raw.items()}


def checkpoints(raw: dict[str, Any], ema: dict[str, Any]) -> dict[str, tuple[Any, str, str]]:
    """Content, and the two names, the averaged one last."""
    averaged_file = {"n_averaged": torch.tensor(3), **prefixed(ema, "module.")}
    both = {**prefixed(raw, "student."), **prefixed(ema, "teacher.")}
    return {
        "torchvision": ({"model": raw, "model_ema": averaged_file}, "model", "model_ema.module"),
        "timm": ({"arch": "x", "state_dict": raw, "state_dict_ema": ema}, "state_dict", "_ema"),
        "lightning": ({"state_dict": both}, "state_dict.student", "state_dict.teacher"),
    }


@pytest.mark.parametrize("origin", ["torchvision", "timm", "lightning"])
def test_raw_and_averaged_weights_are_both_named_and_one_must_be_chosen(
    tmp_path: Path, origin: str
) -> None:
    raw, ema = averaged(small())
    content, first, second = checkpoints(raw, ema)[origin]
    with pytest.raises(ModelError, match=rf"2 sets of weights .*{first}.*{second}.*weights_entry"):
        load(tmp_path, content)
    names = {"torchvision": ("model", "model_ema"), "timm": ("state_dict", "state_dict_ema")}
    chosen = names.get(origin, ("student", "teacher"))
    for name, weights in zip(chosen, (raw, ema), strict=True):
        model = load(tmp_path, content, weights_entry=name)
        assert torch.equal(model.module.fc.bias, weights["fc.bias"])
        assert any("was taken" in remark and name in remark for remark in model.remarks)
    with pytest.raises(ModelError, match=r"model\.weights_entry: expected .*found 'swa'"):
        load(tmp_path, content, weights_entry="swa")


def test_a_backbone_with_a_head_of_its_own_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    whole = {**prefixed(small(1000).state_dict(), "backbone."), "head.weight": torch.ones(5, 1000)}
    with pytest.raises(ModelError, match=r"behind 'backbone\.' .*no place for \(head\.weight\)"):
        load(tmp_path, whole)
    assert count_outputs(load(tmp_path, whole, weights_entry="backbone")) == 1000


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value.to(torch.complex64), "fc.weight is complex64"),
        (lambda value: (value * 100).to(torch.int8), "fc.weight is int8"),
        (lambda value: value.to_sparse(), "fc.weight is float32 .sparse"),
    ],
)
def test_numbers_that_torch_would_silently_change_are_refused(
    tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], said: str
) -> None:
    state = dict(small().state_dict())
    state["fc.weight"] = change(state["fc.weight"])
    with pytest.raises(ModelError, match=said):
        load(tmp_path, state)


def test_another_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none of its 2 names \(0.weight, 0.bias, ...\)"):
        load(tmp_path, nn.Sequential(nn.Linear(2, 2)).state_dict())
    bigger = torchvision.models.shufflenet_v2_x1_0(num_classes=5).state_dict()
    with pytest.raises(ModelError, match=rf"does not fit {SMALL}: .*of another shape"):
        load(tmp_path, bigger)
    deeper = torchvision.models.resnet34(num_classes=5).state_dict()
    with pytest.raises(ModelError, match=r"does not fit resnet18: .*unexpected \(layer1\.2"):
        load(tmp_path, deeper, "resnet18")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_that_transform_their_input_answer_as_in_torchvision(
    tmp_path: Path, name: str
) -> None:
    torch.manual_seed(0)
    build = torchvision.models.get_model_builder(name)
    network = build(weights=None, init_weights=False, transform_input=True, num_classes=6).eval()
    side = 96
    for module in network.modules():
        # An untrained network answers everything alike, were its norms not fitted to an image.
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.momentum = None
    with torch.no_grad():
        network(torch.rand(4, 3, side, side))
    model = load(tmp_path, network.state_dict(), name)
    assert same(model, network, side)
    assert "transform_input" in model.remarks[0]
    network.transform_input = False
    assert not same(model, network, side)
    plain = load(tmp_path, network.state_dict(), name, transform_input=False)
    assert same(plain, network, side)
    assert not plain.remarks
