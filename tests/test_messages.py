"""Errors are for people: where, what was expected or found, and what to do; for every kind."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import audit
from audit.dataset import json_spans
from audit.dataset.foregrounds import open_foreground
from audit.dataset.readers import read_dataset
from audit.errors import InputError
from audit.manifest import ModelSection, load_manifest
from audit.models import checkpoints, drafts, load_model, read_class_names, weights_entries
from audit.models.labels import match_labels

REMEDY = re.compile(
    r"expected|\b(write|name|use|set|save|leave|remove|wrap|return|put|install|take|give|let|copy|"
    r"convert|download|must|make|move|correct|rename|export|open|fetch|add|split|number|call|load|"
    r"run)\b|below `if|\?",
    re.IGNORECASE,
)
KIND = re.compile(r"(Manifest|Dataset|Model)Error|kind")
SENTENCES = {
    "_REMEDY": json_spans._REMEDY,
    "_AGAIN": checkpoints._AGAIN,
    "OTHER_NETWORK": weights_entries.OTHER_NETWORK,
    "EXPECTED": drafts.EXPECTED,
    "which": drafts.EXPECTED,
    "elsewhere": "Write",
    "complaint": "Write",
    "_channels_wanted(model)": "Write",
}
"""What several messages end with; the last three are held by tests of their own."""
ROOMS = ("dataset", "models", "manifest", "plugins.py", "declared.py")


def read(reader: str, **options: object) -> Callable[[Path], object]:
    return lambda folder: read_dataset(reader, folder, options)


def load(**declared: object) -> Callable[[Path], object]:
    section = ModelSection.model_validate({"name": "resnet18", **declared})
    return lambda folder: load_model(section, folder, torch.device("cpu"))


def named(content: bytes) -> Callable[[Path], object]:
    def act(folder: Path) -> object:
        (folder / "classes.txt").write_bytes(content)
        return read_class_names(folder / "classes.txt")

    return act


def written(name: str, content: str, act: Callable[[Path], object]) -> Callable[[Path], object]:
    def both(folder: Path) -> object:
        (folder / name).write_text(content)
        return act(folder)

    return both


def manifest(text: str) -> Callable[[Path], object]:
    return written("m.yaml", text, lambda folder: load_manifest(folder / "m.yaml"))


FOLDERS = "dataset.root", "no such folder", "gone", "Write its path"
KINDS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no root": (lambda f: read_dataset("image_folder", f / "gone", {}), FOLDERS),
    "no root of Hugging Face": (lambda f: read_dataset("huggingface", f / "gone", {}), FOLDERS),
    "a file for the root": (
        written("a", "", lambda f: read_dataset("image_folder", f / "a", {})),
        ("dataset.root", "expected a folder, found a file", "Write its path"),
    ),
    "no masks": (
        lambda f: open_foreground("mask_file", {"root": "gone"}, f),
        ("foreground.root", "no such folder: gone", "Write that of the masks"),
    ),
    "no table": (
        written("other.csv", "", read("csv_index")),
        ("dataset.index", "no index.csv", "found: other.csv", "Write the name of the table"),
    ),
    "no COCO file": (
        written("b.json", "{}", read("coco", annotations="a.json")),
        ("dataset.annotations", "no file a.json", "found: b.json", "Write the path"),
    ),
    "no COCO images": (
        written(
            "a.json", '{"images": [{"id": 1, "file_name": "a.png"}]}', read("coco", images="i")
        ),
        ("dataset.images", "no folder i", "found: none", "Write the folder"),
    ),
    "broken JSON": (
        written("a.json", '{"images": [', read("coco")),
        ("a.json", "not valid JSON", "line 1, column", "Export the annotations again"),
    ),
    "no YOLO file": (read("yolo"), ("dataset.data", "found: none", "Write the name of the file")),
    "no YOLO split": (
        written("data.yaml", "names: [a, b]\ntrain: images\n", read("yolo", split="val")),
        ("dataset.split", "names no val", "found: train", "Write one of its splits"),
    ),
    "no VOC split": (
        lambda f: [(f / "Annotations").mkdir(), read("voc", split="val")(f)],
        ("dataset.split", "ImageSets/Main/val.txt", "found: none", "Write a split"),
    ),
    "no shards": (read("webdataset"), ("dataset.shards", "found: none", "Write a pattern")),
    "no column": (
        written("index.csv", "a.jpg,cat\n", read("csv_index")),
        ("dataset.", "has no column", "found: a.jpg, cat", "Write the column's name"),
    ),
    "no rows": (
        written("index.csv", "path,label\n", read("csv_index")),
        ("dataset.index", "no rows", "Expected one an image"),
    ),
    "nothing but what is left out": (
        written("index.csv", "path,label\n../a.png,cat\n", read("csv_index")),
        (
            "dataset:",
            "1 of them OUTSIDE_ROOT",
            "'../a.png'",
            "Are dataset.root and dataset.reader those of this dataset?",
        ),
    ),
    "no class file": (
        lambda f: read_class_names(f / "gone.txt"),
        ("model.classes", "gone.txt cannot be read", "Expected a file", "correct the name"),
    ),
    "a class file of bytes": (
        named(b"\xff\xfe\x00"),
        ("model.classes", "cannot be read as UTF-8", "Save it as UTF-8, one name a line"),
    ),
    "an empty class file": (named(b"\n"), ("model.classes", "empty", "Write one name a line")),
    "too few names": (
        lambda f: match_labels(["cat"], ["cat", "dog"], 3),
        ("model.classes", "2 names for a model with 3 outputs", "Write the 3 names"),
    ),
    "a number beyond": (
        lambda f: match_labels(["7"], ["cat", "dog"], 2),
        ("dataset: label 7", "2 outputs (0 to 1)", "Number the classes from 0"),
    ),
    "no weights": (
        load(weights="gone.pt"),
        ("model.weights", "no such file: gone.pt", "Write its path"),
    ),
    "damaged weights": (
        written("a.pt", "PK\x03\x04 and no more", load(weights="a.pt")),
        ("model.weights", "a.pt", "Copy or download it again"),
    ),
    "another network's": (
        lambda f: [
            torch.save({"stem.weight": torch.zeros(2, 2)}, f / "a.pt"),
            load(weights="a.pt")(f),
        ],
        ("model.weights", "stem.weight", "Write in model.name the network"),
    ),
    "a loader that fails": (
        written(
            "mine.py",
            "def load():\n    raise KeyError('x')\n",
            lambda f: load_model(ModelSection(loader="mine:load"), f, torch.device("cpu")),
        ),
        ("model", "KeyError", "Call it alone"),
    ),
    "no environment": (
        manifest("name: ${GONE_FROM_HERE}\n"),
        ("name", "GONE_FROM_HERE is not set", "Set it, or write a value"),
    ),
    "broken YAML": (manifest("name: [\n"), ("m.yaml", "not valid YAML", "line", "Correct it")),
    "an unknown key": (
        manifest("name: a\ndataset: {root: i}\nmodel: {name: r}\nverdct: {}\n"),
        ("m.yaml: verdct", "unknown key", "Expected one of", "Did you mean 'verdict'?"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_where_what_and_what_to_do(kind: str, tmp_path: Path) -> None:
    act, parts = KINDS[kind]
    with pytest.raises(InputError) as caught:
        act(tmp_path)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
    assert REMEDY.search(parts[-1])


def raised() -> Iterator[tuple[str, str]]:
    """Place and words of every input error that is written out where it is raised."""
    room = Path(audit.__file__).parent
    for name in ROOMS:
        for path in [room / name] if name.endswith(".py") else sorted((room / name).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                    said = node.exc.args[0] if node.exc.args else None
                    kind = ast.unparse(node.exc.func)
                    if KIND.fullmatch(kind) and isinstance(said, (ast.JoinedStr, ast.Constant)):
                        yield f"{path.name}:{node.lineno}", words(said)


def words(said: ast.JoinedStr | ast.Constant) -> str:
    """A message without what is put into it, but for what is a sentence made elsewhere."""
    parts = said.values if isinstance(said, ast.JoinedStr) else [said]
    texts = [ast.unparse(part).strip("f'{}\"") for part in parts]
    held = [isinstance(part, ast.Constant) for part in parts]
    return " ".join(
        str(part.value) if plain and isinstance(part, ast.Constant) else SENTENCES.get(text, "")
        for part, text, plain in zip(parts, texts, held, strict=True)
    )


def test_no_message_ends_without_a_way_out() -> None:
    found = list(raised())
    assert len(found) > 120
    assert [(place, text) for place, text in found if not REMEDY.search(text)] == []
