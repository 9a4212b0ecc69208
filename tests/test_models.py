from __future__ import annotations

import hashlib
import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from audit.cmv import CmvRequest, visualize_classes
from audit.errors import AuditError, ManifestError, ModelError
from audit.geometry import Geometry
from audit.manifest import ModelSection
from audit.models import AuditedModel, load_model
from audit.models.checkpoints import load_checkpoint
from audit.models.engine import Engine
from audit.models.hashes import check_sha256, file_sha256
from audit.models.labels import match_labels, shared_outputs
from audit.models.probe import count_outputs, probe
from audit.saliency import METHODS

CPU = torch.device("cpu")


def section(**values: Any) -> ModelSection:
    return ModelSection.model_validate({"loader": "torchvision", **values})


def small(**more: Any) -> AuditedModel:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return AuditedModel(net, None, Geometry(16, None, "none"), **more)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_torchvision_network_is_loaded_with_its_number_of_classes(
    tmp_path: Path, name: str, suffix: str
) -> None:
    torch.manual_seed(0)
    extra = {"init_weights": False} if name == "googlenet" else {}
    source = torchvision.models.get_model(name, weights=None, num_classes=7, **extra).eval()
    path = tmp_path / f"weights{suffix}"
    state = {f"module.{key}": value.contiguous() for key, value in source.state_dict().items()}
    if suffix == ".safetensors":
        save_file(state, path, metadata={"classes": json.dumps(list("abcdefg"))})
    else:
        torch.save({"state_dict": state, "classes": list("abcdefg")}, path)
    model = load_model(section(name=name, weights=path.name), tmp_path, CPU)
    assert model.class_names == tuple("abcdefg")
    assert count_outputs(model) == 7
    assert model.geometry == Geometry(224, 256)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        ours = model(images)
        theirs = source((images - model.mean) / model.std)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_manifest_overrules_what_the_weights_say(tmp_path: Path) -> None:
    state = torchvision.models.get_model("resnet18", num_classes=2).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    (tmp_path / "classes.txt").write_text("wolf\nhusky\n")
    values = {"size": 64, "crop": "none", "mean": [0.5] * 3, "std": [0.5] * 3}
    chosen = section(name="resnet18", weights="w.safetensors", classes="classes.txt", input=values)
    model = load_model(chosen, tmp_path, CPU)
    assert model.class_names == ("wolf", "husky")
    assert model.geometry == Geometry(64, 64, "none")
    assert model.mean.flatten().tolist() == [0.5] * 3
    assert len(model.sha256) == 64


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "resnet18"}, "model.weights: missing"),
        ({"name": "resnet19", "weights": "DEFAULT"}, "no classification model 'resnet19'"),
        ({"name": "resnet18", "weights": "BEST"}, "has no weights 'BEST'; it has IMAGENET1K_V1"),
        ({"name": "resnet18", "weights": "w.pt"}, "no such file: w.pt"),
    ],
)
def test_a_model_that_cannot_be_is_named(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load_model(section(**values), tmp_path, CPU)


def test_unknown_loaders_and_options_are_manifest_errors(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"model\.loader: expected clip \|.* found 'torchvison'"
    ):
        load_model(section(loader="torchvison"), tmp_path, CPU)
    with pytest.raises(ManifestError, match=r"model\.depth: unknown option"):
        load_model(section(name="resnet18", weights="w.pt", depth=3), tmp_path, CPU)
    with pytest.raises(ManifestError, match=r"missing 1 required keyword-only argument: 'name'"):
        load_model(section(weights="w.pt"), tmp_path, CPU)


class Payload:
    """What a malicious checkpoint holds."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("owned"),))


def test_checkpoints_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"state_dict": {"w": torch.ones(1)}, "extra": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match="holds Python objects .*pathlib"):
        load_checkpoint(tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ModelError):
        load_checkpoint(tmp_path / "plain.pt")
    assert not (tmp_path / "owned").exists()


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1000)}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    squeezed = tmp_path / "bomb.pt"
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 1_000_000)
    view = torch.ones(1).expand(10**12)
    torch.save({"w": view}, tmp_path / "view.pt")
    for name, content, said in (
        ("cut.pt", whole[:500], "is no file of weights|is damaged"),
        ("page.pt", b"<html>404</html>", "is a web page"),
        ("lfs.pt", b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        ("empty.safetensors", b"", "is damaged"),
        ("number.pt", None, "expected a mapping of tensors"),
        ("bomb.pt", squeezed.read_bytes(), "compressed members"),
        ("view.pt", (tmp_path / "view.pt").read_bytes(), "claims more than the file holds"),
    ):
        path = tmp_path / name
        if content is None:
            torch.save(3, path)
        else:
            path.write_bytes(content)
        with pytest.raises(ModelError, match=said):
            load_checkpoint(path)


def test_weights_that_do_not_fit_say_what_differs(tmp_path: Path) -> None:
    state = torchvision.models.get_model("resnet18", num_classes=3).state_dict()
    state["extra.weight"] = torch.ones(1)
    del state["conv1.weight"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"1 missing \(conv1.weight\); 1 unexpected \(extra.wei"):
        load_model(section(name="resnet18", weights="w.safetensors"), tmp_path, CPU)


def test_labels_are_matched_by_name() -> None:
    names = ["Eskimo dog", "Siberian husky", "wolf"]
    found, kept = match_labels(["n02109961-Eskimo_dog", "siberian_husky"], names, 3)
    assert found == {"n02109961-Eskimo_dog": 0, "siberian_husky": 1}
    # A class has one name in all that is written, the dataset's.
    assert kept == ("n02109961-Eskimo_dog", "siberian_husky", "wolf")
    assert match_labels(["0", "2"], names, 3) == ({"0": 0, "2": 2}, ("0", "Siberian husky", "2"))
    assert match_labels(["b", "a"], None, 2) == ({"a": 0, "b": 1}, ("a", "b"))


def test_outputs_of_one_name_are_told_apart() -> None:
    names = ["crane", "ox", "crane"]
    assert match_labels(["ox"], names, 3) == ({"ox": 1}, ("crane (0)", "ox", "crane (2)"))
    assert match_labels(["crane (2)", "ox"], names, 3)[0] == {"crane (2)": 2, "ox": 1}
    with pytest.raises(ModelError, match=r"fits several .*'crane \(0\)', 'crane \(2\)'"):
        match_labels(["crane"], names, 3)


def test_outputs_of_two_models_are_matched_by_the_rule_for_labels() -> None:
    ours = ["n02109961-Eskimo_dog", "Siberian-husky", "crane", "Cardigan", "cardigan", "ox"]
    theirs = ["cardigan", "siberian husky", "crane", "CRANE", "Eskimo dog", "yak"]
    # A name that fits two means neither; the jacket is not taken for the dog.
    assert shared_outputs(ours, theirs) == {0: 4, 1: 1, 2: 2, 4: 0}
    assert shared_outputs(["crane", "ox"], ["crane", "crane", "ox"]) == {1: 2}
    assert shared_outputs(["crane", "crane"], ["crane", "crane"]) == {0: 0, 1: 1}


@pytest.mark.parametrize(
    ("labels", "names", "outputs", "said"),
    [
        (["cat"], ["dog", "cow"], 2, "1 of 1 labels are no class of the model: 'cat'"),
        (["a-b"], ["a b", "a_b"], 2, "fits several classes"),
        (["crane"], ["crane", "crane"], 2, "fits several classes"),
        (["a"], ["a", "b"], 3, "2 names for a model with 3 outputs"),
        (["a"], None, 2, "the order cannot be guessed"),
        ([str(i) for i in range(11)], None, 11, "whose text order"),
        (["0", "3"], ["x", "y", "z"], 3, "label 3 is beyond the model's 3 outputs"),
    ],
)
def test_labels_that_cannot_be_matched_are_named(
    labels: list[str], names: list[str] | None, outputs: int, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        match_labels(labels, names, outputs)


class Odd(nn.Module):
    """A network with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: torch.Tensor) -> Any:
        scores = images.mean((2, 3))
        if self.fault == "text":
            return "a cat"
        if self.fault == "names":
            return {"boxes": scores, "masks": scores}
        if self.fault == "complex":
            return torch.fft.fft(scores)
        if self.fault == "exit":
            sys.exit(0)
        if self.fault == "drift":
            self.calls = getattr(self, "calls", 0) + 1
            return scores * 10 + 0.01 * self.calls
        if self.fault == "dropout":
            return nn.functional.dropout(scores, 0.1, training=True)
        if self.fault == "one":
            return scores[:, :1]
        if self.fault == "nan":
            return scores * torch.nan
        if self.fault == "detached":
            return scores.detach()
        if self.fault == "round":
            return scores.round()
        if self.fault == "batch":
            return scores - 10 * scores.mean(0)
        if self.fault == "channels":
            return nn.functional.conv2d(images, torch.ones(2, 1, 1, 1)).mean((2, 3))
        return scores


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("text", "expected a tensor of logits .* found str"),
        ("names", "found dict with boxes, masks"),
        ("complex", "expected real class scores, found complex64"),
        ("exit", r"the network ends the process \(sys.exit\(0\)\)"),
        ("drift", "differ from call to call .*something counted"),
        ("dropout", "differ from call to call .*dropout left on"),
        ("one", r"expected class scores \(1, K\) with K >= 2"),
        ("nan", "gives NaN or infinite class scores"),
        ("detached", "no gradient reaches the pixels"),
        ("round", "gradient of a class score is zero everywhere"),
        ("batch", "depend on the other images of its batch"),
        ("channels", "fails on an image of 3 x 16 x 16"),
    ],
)
def test_the_probe_names_what_is_wrong(fault: str, said: str) -> None:
    model = AuditedModel(Odd(fault), None, Geometry(16, None, "none"))
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ModelError, match=said):
        count_outputs(model)
        probe(model, images, torch.tensor([0, 1, 2, 0]), "abc")


INSIDE = {
    "softmax": (lambda scores: scores.softmax(1), "returns probabilities: .* each of 12 images"),
    "log_softmax": (lambda scores: scores.log_softmax(1), "returns log-probabilities"),
    "sigmoid": (torch.sigmoid, r"in 0\.\.1 \(a sigmoid"),
}


class Ending(nn.Module):
    """A network with a function behind its logits."""

    def __init__(self, ending: Any) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(8 * 14 * 14, 5)
        self.ending = ending

    def forward(self, images: torch.Tensor) -> Any:
        return self.ending(self.head(self.network(images)))


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("size", [1, 20])
def test_what_is_no_logit_is_refused_with_the_evidence(inside: str, size: int) -> None:
    torch.manual_seed(0)
    ending, said = INSIDE[inside]
    network = Ending(lambda scores: ending(scores * size))
    model = AuditedModel(network, None, Geometry(16, None, "none"))
    assert count_outputs(model) == 5
    with pytest.raises(ModelError, match=said):
        probe(model, torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0]), "abcde")


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        ("probabilities", lambda scores: scores.softmax(1)),
        ("log_probabilities", lambda scores: scores.log_softmax(1)),
    ],
)
def test_declared_probabilities_give_the_softmax_and_margins_of_the_logits(
    kind: Any, ending: Any
) -> None:
    torch.manual_seed(0)
    network = Ending(lambda scores: scores)
    plain = AuditedModel(network, None, Geometry(16, None, "none"))
    images = torch.rand(4, 3, 16, 16)
    wanted = plain(images)
    network.ending = ending
    plain.outputs = kind
    found = plain(images)
    assert torch.allclose(found.softmax(1), wanted.softmax(1), atol=1e-6)
    assert torch.allclose(found - found[:, :1], wanted - wanted[:, :1], atol=1e-5)
    probe(plain, images, torch.tensor([0, 1, 2, 0]), "abcde")


class Output:
    """As transformers returns it."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize(
    ("wrap", "where"),
    [
        (lambda scores: (scores, scores * 0), "output 0 of the tuple"),
        (lambda scores: {"loss": None, "logits": scores, "hidden": scores}, "'logits' of the dict"),
        (lambda scores: {"y": scores}, "'y' of the dict"),
        (Output, "'logits' of the Output"),
        (lambda scores: scores[:, :, None, None], ""),
    ],
)
def test_logits_are_found_in_what_a_network_returns(wrap: Any, where: str) -> None:
    model = AuditedModel(Ending(wrap), None, Geometry(16, None, "none"))
    images = torch.rand(3, 3, 16, 16)
    assert count_outputs(model) == 5
    found = model(images)
    model.module.ending = lambda scores: scores
    assert torch.equal(found, model(images))
    assert where in " ".join(model.remarks)
    assert bool(model.remarks) == bool(where)


class Stubborn(nn.BatchNorm2d):
    """Frozen in training mode, as by a trainer that replaced its methods."""

    def train(self, mode: bool = True) -> nn.Module:
        return self


def test_layers_left_in_training_mode_are_named() -> None:
    for norm in (Stubborn(8), nn.BatchNorm2d(8, track_running_stats=False)):
        network = Ending(lambda scores: scores)
        network.network.insert(1, norm)
        model = AuditedModel(network, None, Geometry(16, None, "none"))
        with pytest.raises(ModelError, match=r"training mode.* Such layers: network\.1"):
            probe(model, torch.rand(1, 3, 16, 16), torch.tensor([0]), "abcde")


def test_a_network_of_one_image_a_call_is_asked_image_by_image() -> None:
    model = AuditedModel(
        Ending(lambda scores: scores.reshape(1, 5)), None, Geometry(16, None, "none")
    )
    images = torch.rand(3, 3, 16, 16)
    assert count_outputs(model) == 5
    assert "takes one image a call" in model.remarks[0]
    wanted = torch.cat([model.module((image[None] - model.mean) / model.std) for image in images])
    assert torch.equal(model(images), wanted)
    maps, _ = METHODS["gradcam"](model, images, torch.tensor([0, 1, 2]), seeds=[0] * 3)
    single = [
        METHODS["gradcam"](model, images[k : k + 1], torch.tensor([k]), seeds=[0])[0]
        for k in range(3)
    ]
    assert torch.equal(maps, torch.cat(single))


def test_a_pinned_file_is_the_only_one_that_is_taken(tmp_path: Path) -> None:
    state = torchvision.models.get_model("squeezenet1_1", num_classes=2).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    right = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    values = {"name": "squeezenet1_1", "weights": "w.safetensors"}
    assert load_model(section(**values, sha256=right.upper()), tmp_path, CPU).sha256 == right
    with pytest.raises(ModelError, match=rf"sha256 {'0' * 64}, found {right}"):
        load_model(section(**values, sha256="0" * 64), tmp_path, CPU)
    with pytest.raises(ModelError, match="expected a file or folder in model.weights"):
        load_model(section(name="squeezenet1_1", weights="DEFAULT", sha256=right), tmp_path, CPU)


def test_a_pinned_folder_is_taken_with_the_files_that_it_had(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    right = file_sha256(tmp_path)
    (tmp_path / "README.md").write_text("neither weights nor settings")
    check_sha256(tmp_path, right)
    (tmp_path / "config.json").write_text("{ }")
    with pytest.raises(ModelError, match=rf"sha256 {right}, found {file_sha256(tmp_path)}"):
        check_sha256(tmp_path, right)


def test_the_probe_accepts_a_sound_model() -> None:
    images, model = torch.rand(4, 3, 16, 16), small()
    assert probe(model, images, model(images).argmax(1), "abcd") == 1.0


def test_a_users_loader_may_ask_for_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "mine_loading.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def bare():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))\n"
        "def full(device, *, weights, width=1):\n"
        "    assert weights.is_absolute() and width == 5 and device.type == 'cpu'\n"
        "    return bare()\n"
        "def wrong():\n    return 3\n"
        "def broken():\n    raise ValueError('no luck')\n"
    )
    (tmp_path / "w.bin").write_bytes(b"x")
    sys.path.insert(0, str(tmp_path))
    try:
        load_model(section(loader="mine_loading:bare"), tmp_path, CPU)
        load_model(section(loader="mine_loading:full", weights="w.bin", width=5), tmp_path, CPU)
        with pytest.raises(ModelError, match="returned a int"):
            load_model(section(loader="mine_loading:wrong"), tmp_path, CPU)
        with pytest.raises(ModelError, match="ValueError: no luck"):
            load_model(section(loader="mine_loading:broken"), tmp_path, CPU)
        with pytest.raises(AuditError, match="cannot import 'mine_loading:nothing'"):
            load_model(section(loader="mine_loading:nothing"), tmp_path, CPU)
    finally:
        sys.path.remove(str(tmp_path))


def test_a_network_of_grey_images_is_given_the_luma_that_pillow_makes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3)).eval()
    model = AuditedModel(network, None, Geometry(16, None, "none"), (0.5,), (0.25,))
    pixels = torch.randint(0, 256, (2, 16, 16, 3), generator=torch.Generator().manual_seed(0))
    colours = [Image.fromarray(one.to(torch.uint8).numpy()) for one in pixels]
    grey = torch.stack([torch.from_numpy(np.array(one.convert("L"))) for one in colours])
    wanted = network((grey[:, None] / 255 - 0.5) / 0.25)
    images = pixels.permute(0, 3, 1, 2) / 255
    # Pillow rounds to whole numbers.
    assert torch.allclose(model(images), wanted, atol=0.01)
    assert count_outputs(model) == 3
    maps, _ = METHODS["gradient"](model, images, torch.tensor([0, 1]), seeds=[0, 0])
    assert float(maps.sum()) > 0
    (made,) = visualize_classes(Engine(model), [1], CmvRequest("simonyan"), steps=2)
    assert made.label == 1


@pytest.mark.parametrize(
    ("channels", "said"), [(1, r"one channel: write model\.input\.mean"), (4, "takes 4 channels")]
)
def test_another_number_of_channels_is_said(channels: int, said: str) -> None:
    network = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match=said):
        count_outputs(AuditedModel(network, None, Geometry(16, None, "none")))
