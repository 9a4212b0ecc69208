"""A user's functions: found beside the manifest, able to import more, and gone from sys.path."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
import torch

from audit.dataset.readers import read_dataset
from audit.errors import ManifestError
from audit.manifest import ModelSection
from audit.models import load_model
from audit.plugin_sources import sources_sha256
from audit.plugins import bind, importable, resolve


@pytest.fixture
def path_before(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return list(sys.path)


def takes(
    *,
    follow: bool = False,
    samples: int = 1,
    width: float = 0.5,
    name: str | None = None,
    columns: list[str] | str | None = None,
    path: Path | None = None,
) -> tuple[object, ...]:
    return follow, samples, width, name, columns, path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"follow": "maybe"}, "dataset.follow: expected true or false, found 'maybe'"),
        ({"follow": 1}, "expected true or false, found 1"),
        ({"samples": True}, "dataset.samples: expected a whole number, found True"),
        ({"samples": "many"}, "expected a whole number, found 'many'"),
        ({"samples": 1.5}, "expected a whole number, found 1.5"),
        ({"width": [1]}, "expected a number, found"),
        ({"name": 3}, "expected text, found 3"),
        ({"columns": {"a": 1}}, "expected a list or text, found"),
        ({"name": ["x" * 10_000]}, "…$"),
    ],
)
def test_an_option_of_another_kind_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        bind(takes, options, key="dataset")


def test_what_the_environment_writes_as_text_is_taken_for_what_it_means() -> None:
    text = {"follow": "false", "samples": "16", "width": "0.25", "name": None, "columns": ["a"]}
    assert bind(takes, text, key="x")() == (False, 16, 0.25, None, ["a"], None)
    assert bind(takes, {"width": 1, "path": "a/b"}, key="x")()[2:] == (1, None, None, "a/b")


def test_a_folder_is_importable_inside_the_block_alone(
    tmp_path: Path, path_before: list[str]
) -> None:
    with pytest.raises(KeyError), importable(tmp_path), importable(tmp_path):
        assert sys.path == [str(tmp_path), *path_before]
        raise KeyError
    assert sys.path == path_before
    with importable(None):
        assert sys.path == path_before


def test_a_folder_that_was_there_before_stays(tmp_path: Path, path_before: list[str]) -> None:
    sys.path.append(str(tmp_path))
    with importable(tmp_path):
        assert sys.path == [*path_before, str(tmp_path)]
    assert sys.path == [*path_before, str(tmp_path)]


def test_whoever_leaves_last_takes_the_folder_away(tmp_path: Path, path_before: list[str]) -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with importable(tmp_path):
            inside.set()
            leave.wait(timeout=30)

    thread = threading.Thread(target=other)
    with importable(tmp_path):
        thread.start()
        assert inside.wait(timeout=30)
    assert sys.path.count(str(tmp_path)) == 1
    leave.set()
    thread.join(timeout=30)
    assert sys.path == path_before


def test_a_function_may_import_what_lies_beside_it_when_it_is_called(
    tmp_path: Path, path_before: list[str]
) -> None:
    (tmp_path / "lazy_method.py").write_text(
        "def method(x, *, factor=1):\n    from lazy_part import TWO\n    return factor * x + TWO\n"
    )
    (tmp_path / "lazy_part.py").write_text("TWO = 2\n")
    found = resolve("lazy_method:method", {}, key="x", folder=tmp_path)
    assert "lazy_part" not in sys.modules
    # The signature is that of the function: options are bound by name.
    assert bind(found, {"factor": 3}, key="x")(5) == 17
    assert sys.path == path_before


def test_a_reader_may_be_a_generator_that_imports(tmp_path: Path, path_before: list[str]) -> None:
    (tmp_path / "lazy_reader.py").write_text(
        "def read(root):\n    from lazy_names import NAMES\n"
        "    from audit.dataset.samples import Sample\n"
        "    yield from (Sample(name, root / name, 'a') for name in NAMES)\n"
    )
    (tmp_path / "lazy_names.py").write_text("NAMES = ['1.png', '2.png']\n")
    found = read_dataset("lazy_reader:read", tmp_path, {}, tmp_path)
    assert found.table["sample_id"].tolist() == ["1.png", "2.png"]
    assert sys.path == path_before


def test_a_network_may_import_when_it_is_asked(tmp_path: Path, path_before: list[str]) -> None:
    (tmp_path / "lazy_network.py").write_text(
        "from torch import nn\n\n\nclass Network(nn.Module):\n"
        "    def forward(self, images):\n        from lazy_layers import pooled\n"
        "        return pooled(images)\n\n\ndef load():\n    return Network()\n"
    )
    (tmp_path / "lazy_layers.py").write_text(
        "def pooled(images):\n    return images.mean((2, 3))\n"
    )
    section = ModelSection(loader="lazy_network:load")
    model = load_model(section, tmp_path, torch.device("cpu"))
    assert sys.path == path_before
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 3)
    assert sys.path == path_before


def test_two_manifests_may_have_modules_of_one_name_beside_them(
    tmp_path: Path, path_before: list[str]
) -> None:
    answers = []
    for name in ("first", "second", "first"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "same_name.py").write_text(f"def say():\n    return {name!r}\n")
        answers.append(resolve("same_name:say", {}, key="x", folder=tmp_path / name)())
    assert answers == ["first", "second", "first"]
    assert sys.path == path_before


def test_the_source_of_a_users_function_and_of_what_it_uses_counts(tmp_path: Path) -> None:
    (tmp_path / "used_by_loader.py").write_text("def width():\n    return 1\n")
    loader = tmp_path / "sourced_loader.py"
    loader.write_text("from used_by_loader import width\ndef load():\n    return width()\n")
    (tmp_path / "stranger.py").write_text("x = 1\n")
    names = ["torchvision", "sourced_loader:load"]
    first = sources_sha256(names, tmp_path)
    assert len(first) == 64
    assert sources_sha256(names, tmp_path) == first
    (tmp_path / "stranger.py").write_text("x = 2\n")
    assert sources_sha256(names, tmp_path) == first
    (tmp_path / "used_by_loader.py").write_text("def width():\n    return 2\n")
    second = sources_sha256(names, tmp_path)
    loader.write_text("from used_by_loader import width\ndef load():\n    return 3\n")
    assert len({first, second, sources_sha256(names, tmp_path)}) == 3
    assert sources_sha256(["torchvision", "flows.demo.network:load"], tmp_path) == ""
