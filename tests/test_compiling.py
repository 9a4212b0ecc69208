"""``run.compile``: the same answers from a compiled network, or the network as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from planted import write_dataset
from torch import nn
from typer.testing import CliRunner

from audit.geometry import Geometry
from audit.manifest import load_manifest
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import MICROBATCH, class_scores
from flows.cli import app

needs_a_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler",
)


def engine_of(network: nn.Module, compiles: bool = True) -> Engine:
    model = AuditedModel(network, None, Geometry(32), (0.5,) * 3, (0.25,) * 3)
    return Engine(model, compiles=compiles)


def is_compiled(engine: Engine, image: torch.Tensor) -> bool:
    return engine.for_scores(image)[0] is not engine.folded(image)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.SiLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
    )


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@needs_a_compiler
def test_a_compiled_network_gives_the_same_scores_alone_and_among_others() -> None:
    images = pictures(2 * MICROBATCH + 1)
    quick, plain = engine_of(small_network()), engine_of(small_network(), compiles=False)
    assert is_compiled(quick, images[:1])
    scores = class_scores(quick, images)
    torch.testing.assert_close(scores, class_scores(plain, images), rtol=1e-4, atol=1e-5)
    for place in (0, MICROBATCH, 2 * MICROBATCH):
        assert torch.equal(class_scores(quick, images[place : place + 1]), scores[place][None])


@needs_a_compiler
def test_a_compiled_network_follows_its_weights() -> None:
    images = pictures(MICROBATCH)
    # Without BatchNorm it is the network itself that is compiled, its weights frozen.
    model = engine_of(nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten()))
    before = class_scores(model, images)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.mul_(2)
    torch.testing.assert_close(class_scores(model, images), 2 * before)


def test_a_network_is_compiled_only_where_asked() -> None:
    assert not is_compiled(engine_of(small_network(), compiles=False), pictures(1))


def test_images_of_another_size_are_not_compiled_for() -> None:
    assert not is_compiled(engine_of(small_network()), torch.zeros(1, 3, 48, 48))


def test_a_network_that_cannot_be_compiled_is_used_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class NoCompiler(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C++ compiler here")

    monkeypatch.setattr(torch, "compile", lambda module, **_: NoCompiler())
    engine = engine_of(small_network())
    assert not is_compiled(engine, pictures(1))
    caplog_text = caplog.text
    assert not is_compiled(engine, pictures(1))
    assert caplog.text == caplog_text  # Tried once, said once.
    assert "run.compile" in caplog.text


def test_a_compiled_network_that_answers_otherwise_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Louder(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = 1.1 * self.module(images)
            return scores

    monkeypatch.setattr(torch, "compile", lambda module, **_: Louder(module))
    engine = engine_of(small_network())
    assert not is_compiled(engine, pictures(1))
    caplog_text = caplog.text
    assert not is_compiled(engine, pictures(1))
    assert caplog.text == caplog_text  # Tried once, said once.
    assert "answers otherwise" in caplog.text


@needs_a_compiler
def test_a_run_counts_the_time_of_compiling(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=2)
    asked = ["--set", "run.compile=true", "--set", "cmv.classes=none", "--out", str(tmp_path / "r")]
    asked += ["--set", "report.formats=[html]"]
    # Two images a class: nothing can be judged.
    assert CliRunner().invoke(app, ["run", str(manifest), *asked]).exit_code == 4
    told = json.loads((tmp_path / "r" / "run.json").read_text())
    assert told["compiled"] is True
    assert told["timings"]["compiling"] > 0


def test_a_compiled_run_is_another_audit(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=2)
    keys = [load_manifest(manifest, [f"run.compile={v}"]).scores_key() for v in ("true", "false")]
    assert keys[0] != keys[1]
