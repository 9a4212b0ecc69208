"""The first page alone: its commands and examples, pasted, lead to an audit."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from test_format_runs import NAMES, coco, drawn, image_folder, saved
from test_model_pages import transformers_page

import audit
from audit.dataset.readers import read_dataset
from audit.manifest import load_manifest
from audit.models import load_model
from audit.models.probe import count_outputs
from flows.cli import app

pytestmark = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
INITS = re.findall(r"^\.venv/bin/saliency-audit (init .*)$", README, re.MULTILINE)


def of_torchvision(root: Path) -> None:
    image_folder(root / "photos")
    os.rename(root / "photos" / "data", root / "photos" / "test")
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), root / "model.pt")
    (root / "classes.txt").write_text("\n".join(NAMES))


def of_coco_and_timm(root: Path) -> None:
    import timm

    coco(root)
    os.rename(root / "data", root / "coco")
    network = timm.create_model("test_resnet", num_classes=2)
    content = {"arch": "test_resnet", "state_dict": network.state_dict(), "epoch": 1}
    torch.save(content, root / "model_best.pth.tar")
    (root / "classes.txt").write_text("\n".join(NAMES))


def of_hugging_face(root: Path) -> None:
    image_folder(root)
    (root / "pets").mkdir()
    rows = []
    for name, label, image, _ in drawn():
        saved(image, root / "pets" / "test" / label / f"{name}.png")
        rows.append(f'{{"file_name": "{label}/{name}.png", "label": "{label}"}}\n')
    (root / "pets" / "test" / "metadata.jsonl").write_text("".join(rows))
    transformers_page(root)
    os.rename(root / "vit", root / "my-vit")


LAID: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "--model resnet18:": (of_torchvision, "image_folder", "torchvision"),
    "--images coco ": (of_coco_and_timm, "coco", "timm"),
    "--images pets ": (of_hugging_face, "huggingface", "transformers"),
}


@pytest.fixture
def pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Lays out what a line of the first page speaks of, and runs it; its loader."""
    monkeypatch.chdir(tmp_path)

    def paste(line: str) -> str:
        build, reader, loader = next(laid for part, laid in LAID.items() if part in line)
        build(tmp_path)
        app(shlex.split(line), standalone_mode=False)
        manifest = load_manifest(tmp_path / "data_manifest.yaml")
        assert (manifest.dataset.reader, manifest.model.loader) == (reader, loader)
        assert manifest.foreground.source == ("coco_segments" if reader == "coco" else "mask_file")
        return loader

    return paste


def test_the_first_page_has_these_lines() -> None:
    assert [next(part for part in LAID if part in line) for line in INITS] == list(LAID)


@pytest.mark.parametrize("line", INITS)
def test_what_init_writes_can_be_checked(pasted: Callable[[str], str], line: str) -> None:
    loader = pasted(line)
    small = ("model.input.size=64",) if loader != "transformers" else ()
    quick = ("run.workers=1", "verdict.minimum_images=2", "cmv.classes=none", *small)
    found = audit.check("data_manifest.yaml", device="cpu", overrides=quick, accept_accuracy=True)
    assert (found.tried, found.unreadable_tried) == (8, 0)
    assert found.swapped_tried > 0


def test_the_manifest_by_hand_loads(pasted: Callable[[str], str], tmp_path: Path) -> None:
    pasted(INITS[0])
    (declared,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "data_manifest.yaml").write_text(declared)
    manifest = load_manifest(tmp_path / "data_manifest.yaml")
    found = read_dataset("image_folder", manifest.path(manifest.dataset.root), {})
    assert tuple(found.class_names) == NAMES
    assert count_outputs(load_model(manifest.model, tmp_path, torch.device("cpu"))) == 2


def test_a_folder_of_hugging_face_ends_in_a_report_by_the_first_page_alone(
    pasted: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pasted(INITS[2])
    written = (tmp_path / "data_manifest.yaml").read_text()
    for key, value in (
        ("cmv", "{classes: none}"),
        ("verdict", "{minimum_images: 2}"),
        ("report", "{formats: [html]}"),
        ("interventions", "{donors: 1}"),
    ):
        written = re.sub(rf"^{key}: .*$", f"{key}: {value}", written, flags=re.MULTILINE)
    (tmp_path / "data_manifest.yaml").write_text(written + "run: {workers: 1}\n")
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    run = audit.run
    # A network of random weights guesses, and would be refused.
    monkeypatch.setattr(
        audit, "run", lambda *given, **more: run(*given, accept_accuracy=True, **more)
    )
    names: dict[str, object] = {}
    exec(snippet, names)
    found = names["run"]
    assert isinstance(found, audit.Run)
    assert list(found.classes["label_name"].sort_values()) == list(NAMES)
    assert (tmp_path / "runs" / "monday" / "report.html").is_file()
