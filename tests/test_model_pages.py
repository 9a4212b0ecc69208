"""The manifest of each page on loaders, on a tiny model that the page's own library wrote."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import yaml
from safetensors.torch import save_file
from torch import nn

from audit.cmv import CmvRequest, visualize_classes
from audit.errors import ModelError
from audit.interventions import feather, paste
from audit.manifest import Manifest, load_manifest
from audit.models import MODELS, AuditedModel, load_model
from audit.models.engine import Engine
from audit.models.hashes import file_sha256
from audit.models.probe import count_outputs, probe
from audit.pipeline.methods import method_that_serves
from audit.saliency import class_scores, explain

pytestmark = pytest.mark.filterwarnings("ignore")
# Deprecations of the libraries' own writers: timm, transformers, Lightning, torch.jit, torch.onnx.

DOCS = Path(__file__).parent.parent / "docs" / "models"
NAMES = ("cat", "dog")
Network = Callable[[torch.Tensor], torch.Tensor]


def small() -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.squeezenet1_1(num_classes=2).eval()
    return network


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2)
    ).eval()


def torchvision_page(folder: Path) -> Network:
    network = small()
    save_file(network.state_dict(), folder / "squeezenet.safetensors")
    return network


def timm_page(folder: Path) -> Network:
    import timm

    torch.manual_seed(0)
    network: nn.Module = timm.create_model("test_resnet", num_classes=2).eval()
    save_file(network.state_dict(), folder / "model.safetensors")
    return network


def transformers_page(folder: Path) -> Network:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = ViTConfig(
        **sizes, intermediate_size=32, image_size=32, patch_size=8, id2label=dict(enumerate(NAMES))
    )
    network = ViTForImageClassification(config).eval()
    network.save_pretrained(folder / "vit")
    processor = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4] * 3)
    processor.save_pretrained(folder / "vit")
    return lambda images: network(pixel_values=images).logits


def clip_page(folder: Path) -> Network:
    import transformers

    torch.manual_seed(0)
    tower = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    letters = [*"abcdefghijklmnopqrstuvwxyz.", *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz.")]
    words = [*letters, "<|startoftext|>", "<|endoftext|>"]
    config = transformers.CLIPConfig(
        text_config={**tower, "vocab_size": len(words), "eos_token_id": len(words) - 1},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    network = transformers.CLIPModel(config).eval()
    network.save_pretrained(folder / "clip")
    tokenizer = transformers.CLIPTokenizer(
        vocab={word: k for k, word in enumerate(words)}, merges=[]
    )
    tokenizer.save_pretrained(folder / "clip")
    size = {"crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 32}}
    transformers.CLIPImageProcessor(**size).save_pretrained(folder / "clip")
    tokens = tokenizer([f"a photo of a {n}." for n in NAMES], padding=True, return_tensors="pt")
    return lambda images: network(pixel_values=images, **tokens).logits_per_image


def open_clip_page(folder: Path) -> Network:
    open_clip = pytest.importorskip("open_clip", reason="installed on request")
    torch.manual_seed(0)
    tower = {"layers": 2, "width": 16}
    config = {
        "embed_dim": 8,
        "vision_cfg": {**tower, "image_size": 32, "patch_size": 8, "head_width": 8},
        "text_cfg": {**tower, "heads": 2, "context_length": 16, "vocab_size": 49408},
    }
    kept = folder / "open_clip"
    kept.mkdir()
    size = {"size": 32, "resize_mode": "shortest"}
    (kept / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": size})
    )
    network = open_clip.create_model(f"local-dir:{kept}").eval()
    save_file(network.state_dict(), kept / "open_clip_model.safetensors")
    tokens = open_clip.get_tokenizer(f"local-dir:{kept}")([f"a photo of a {n}." for n in NAMES])
    return lambda images: network.get_logits(images, tokens)[0]


def lightning_page(folder: Path) -> Network:
    import lightning

    class Lit(lightning.LightningModule):
        def __init__(self, options: argparse.Namespace) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.model = small()
            self.criterion = nn.CrossEntropyLoss(torch.tensor([1.0, 2.0]))

    module = Lit(argparse.Namespace(rate=0.1, path=Path("x")))
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(**quiet)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(folder / "last.ckpt")
    return module.model.eval()


def exported_page(folder: Path) -> Network:
    network = plain()
    torch.export.save(
        torch.export.export(network, (torch.rand(1, 3, 64, 64),)), folder / "model.pt2"
    )
    return lambda images: torch.cat([network(image[None]) for image in images])


def torchscript_page(folder: Path) -> Network:
    network = plain()
    torch.jit.script(network).save(folder / "model.pt")
    return network


def onnx_page(folder: Path) -> Network:
    network = plain()
    torch.onnx.export(
        network,
        (torch.rand(1, 3, 64, 64),),
        folder / "model.onnx",
        dynamo=False,
        input_names=["images"],
        dynamic_axes={"images": {0: "n"}},
    )
    return network


class Traced:
    """Leaves behind in which process it was unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"import os; open({str(self.path)!r}, 'w').write(str(os.getpid()))",)


def pickled_page(folder: Path) -> Network:
    network = small()
    network.about = Traced(folder / "pid")
    torch.save(network, folder / "model.pt")
    del network.about
    return network


PAGES: dict[str, Callable[[Path], Network]] = {
    "torchvision": torchvision_page,
    "timm": timm_page,
    "transformers": transformers_page,
    "clip": clip_page,
    "open_clip": open_clip_page,
    "lightning": lightning_page,
    "exported": exported_page,
    "torchscript": torchscript_page,
    "onnx": onnx_page,
    "pickled": pickled_page,
}
LAYERED = {"torchvision", "timm", "transformers", "clip", "open_clip", "lightning", "pickled"}
BLACK = {"onnx"}
SIDES = {"timm": 160, "transformers": 32, "clip": 32, "open_clip": 32}


@pytest.fixture(scope="module", params=PAGES)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Manifest, AuditedModel, Network]:
    """A page's manifest, the model that it declares, and the library's own network."""
    kind, folder = str(request.param), tmp_path_factory.mktemp("model")
    (folder / "models").mkdir()
    (folder / "models" / "classes.txt").write_text("\n".join(NAMES))
    network = PAGES[kind](folder / "models")
    (declared,) = re.findall(r"```yaml\n(.*?)```", (DOCS / f"{kind}.md").read_text(), re.DOTALL)
    if "trust" in declared:
        (file,) = (folder / "models").glob("model.p*")
        declared = declared.replace("0" * 64, file_sha256(file))
    (folder / "audit.yaml").write_text(declared)
    manifest = load_manifest(folder / "audit.yaml")
    model = load_model(manifest.model, folder, torch.device("cpu"))
    assert count_outputs(model) == 2
    return kind, manifest, model, network


def some_images(model: AuditedModel, count: int = 3) -> torch.Tensor:
    side = model.geometry.size
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def maps_by(method: str, loaded: tuple[str, Manifest, AuditedModel, Network]) -> tuple[str, Any]:
    _, manifest, model, _ = loaded
    asked = manifest.model_copy(
        update={"saliency": manifest.saliency.model_copy(update={"method": method})}
    )
    engine = Engine(model)
    choice = method_that_serves(asked, engine)
    images = some_images(model)
    targets = torch.tensor([0, 1, 0])
    found = explain(engine, images, targets, method=choice.method, seeds=[0] * 3)
    alone = explain(engine, images[1:2], targets[1:2], method=choice.method, seeds=[0])
    assert torch.equal(found.maps[1:2], alone.maps)
    assert bool(found.maps.isfinite().all())
    return choice.name, found.maps


def test_every_loader_has_a_page() -> None:
    assert {page.stem for page in DOCS.glob("*.md")} >= set(MODELS) == set(PAGES)


def trained_by_timm(folder: Path) -> Network:
    import timm

    torch.manual_seed(0)
    network: nn.Module = timm.create_model("resnet18", num_classes=2).eval()
    averaged = network.state_dict()
    raw = {name: value + 1 for name, value in averaged.items()}
    options = argparse.Namespace(model="resnet18")
    content = {"arch": "resnet18", "state_dict": raw, "state_dict_ema": averaged, "args": options}
    torch.save(content, folder / "model_best.pth.tar")
    return network


def saved_by_trainer(folder: Path) -> Network:
    network = transformers_page(folder)
    os.rename(folder / "vit", folder / "my-vit")
    return network


def trained_by_lightning(folder: Path) -> Network:
    import lightning

    class Lit(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"rate": 0.1})
            self.net = torchvision.models.resnet18(num_classes=2)

    torch.manual_seed(0)
    module = Lit()
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(**quiet)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(folder / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt")
    return module.net.eval()


def deployed(folder: Path) -> Network:
    network = nn.Sequential(plain(), nn.Softmax(1)).eval()
    torch.onnx.export(
        network,
        (torch.rand(1, 3, 64, 64),),
        folder / "model.onnx",
        dynamo=False,
        dynamic_axes={"input": {0: "n"}},
        input_names=["input"],
    )
    return lambda images: network(images).log()


EXAMPLES = re.findall(r"```yaml\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
WRITERS: dict[str, Callable[[Path], Network]] = {
    "timm": trained_by_timm,
    "transformers": saved_by_trainer,
    "lightning": trained_by_lightning,
    "onnx": deployed,
}


def test_the_page_of_examples_has_one_of_each_of_these() -> None:
    assert [yaml.safe_load(text)["model"]["loader"] for text in EXAMPLES] == list(WRITERS)


@pytest.mark.parametrize("example", EXAMPLES, ids=list(WRITERS))
def test_an_example_pasted_answers_as_its_library_does(tmp_path: Path, example: str) -> None:
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    loader = yaml.safe_load(example)["model"]["loader"]
    network = WRITERS[loader](tmp_path)
    least = "name: mine\ndataset: {root: photos}\n"
    (tmp_path / "data_manifest.yaml").write_text(least + example)
    manifest = load_manifest(tmp_path / "data_manifest.yaml")
    model = load_model(manifest.model, tmp_path, torch.device("cpu"))
    assert (model.class_names, count_outputs(model)) == (NAMES, 2)
    images = some_images(model, 2)
    with torch.no_grad():
        wanted = network((images - model.mean) / model.std)
        assert torch.allclose(model(images), wanted, atol=1e-5)


def test_the_page_answers_as_the_library_does(
    loaded: tuple[str, Manifest, AuditedModel, Network],
) -> None:
    kind, manifest, model, network = loaded
    assert model.class_names == NAMES
    assert model.geometry.size == SIDES.get(kind, 64)
    assert len(model.sha256) == 64
    images = some_images(model)
    with torch.no_grad():
        wanted = network((images - model.mean) / model.std)
        assert torch.allclose(model(images), wanted, atol=1e-5)
    if kind == "pickled":
        pid = manifest.folder / "models" / "pid"
        assert int(pid.read_text()) != os.getpid()
    assert ("trust" in str(manifest.model.options)) == bool(model.trusted)
    accuracy = probe(
        model,
        images,
        wanted.argmax(1),
        NAMES,
        needs_gradient=kind not in BLACK,
    )
    assert accuracy == 1.0


def test_gradients_of_the_page(loaded: tuple[str, Manifest, AuditedModel, Network]) -> None:
    name, maps = maps_by("gradient", loaded)
    assert name == ("occlusion" if loaded[0] in BLACK else "gradient")
    assert float(maps.sum()) > 0


def test_class_activation_maps_of_the_page_or_what_comes_in_their_place(
    loaded: tuple[str, Manifest, AuditedModel, Network],
) -> None:
    name, _ = maps_by("gradcam", loaded)
    black = "occlusion" if loaded[0] in BLACK else "gradient"
    assert name == ("gradcam" if loaded[0] in LAYERED else black)


def test_swaps_of_the_page(loaded: tuple[str, Manifest, AuditedModel, Network]) -> None:
    _, _, model, network = loaded
    images, others = some_images(model), some_images(model, 6)[3:]
    inside = torch.zeros(images[:, 0].shape, dtype=torch.bool)
    inside[:, 8:20, 8:20] = True
    composites = paste(images, feather(inside), others)
    with torch.no_grad():
        wanted = network((composites - model.mean) / model.std)
    assert torch.allclose(class_scores(Engine(model), composites), wanted, atol=1e-4)


def test_class_visualizations_of_the_page(
    loaded: tuple[str, Manifest, AuditedModel, Network],
) -> None:
    kind, _, model, _ = loaded
    if kind in BLACK:
        return
    (made,) = visualize_classes(Engine(model), [1], CmvRequest("simonyan"), steps=4)
    assert made.label == 1


@pytest.mark.parametrize("kind", ["exported", "torchscript", "pickled"])
def test_what_can_run_code_is_loaded_by_its_hash_alone(tmp_path: Path, kind: str) -> None:
    (tmp_path / "model.pt").write_bytes(b"anything")
    found = file_sha256(tmp_path / "model.pt")
    declared: dict[str, Any] = {"name": "x", "dataset": {}, "model": {"loader": kind}}
    declared["model"]["weights"] = "model.pt"
    if kind == "pickled":
        declared["model"]["name"] = "squeezenet1_1"

    def load(**more: str) -> None:
        section = {**declared["model"], **more}
        manifest = Manifest.model_validate({**declared, "model": section})
        load_model(manifest.model, tmp_path, torch.device("cpu"))

    with pytest.raises(ModelError, match=rf"model\.trust: missing.*can run code.*trust: {found}"):
        load()
    with pytest.raises(ModelError, match="another file is trusted"):
        load(trust="0" * 64)
    with pytest.raises(
        ModelError, match=r"model\.pt is no (program|TorchScript)|cannot be unpickled"
    ):
        load(trust=found)


@pytest.mark.parametrize("kind", ["exported", "torchscript", "onnx", "transformers", "lightning"])
def test_another_loader_is_named_where_a_file_is_not_for_this_one(
    tmp_path: Path, kind: str
) -> None:
    PAGES[kind](tmp_path)
    found = {"transformers": "vit", "lightning": "last.ckpt", "onnx": "model.onnx"}
    weights = found.get(kind, "model.pt2" if kind == "exported" else "model.pt")
    model = {"loader": "torchvision", "name": "squeezenet1_1", "weights": weights}
    manifest = Manifest.model_validate({"name": "x", "dataset": {}, "model": model})
    with pytest.raises(ModelError, match=rf"loader: {kind}"):
        load_model(manifest.model, tmp_path, torch.device("cpu"))
