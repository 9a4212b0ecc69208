"""What a user's loader may return: networks of every kind work, or are refused with a sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import planted
import pytest
import torch
from torch import nn

from audit.errors import ModelError
from audit.manifest import Manifest
from audit.models import load_model
from audit.models.engine import Engine
from audit.models.probe import count_outputs, probe
from audit.pipeline.methods import method_that_serves
from audit.saliency import explain
from audit.saliency.choosing import Unserved
from flows.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated")


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).eval()


class Around(nn.Module):
    """A network with a function around it."""

    def __init__(self, around: Callable[[nn.Module, torch.Tensor], Any]) -> None:
        super().__init__()
        self.net = net()
        self.around = around

    def forward(self, images: torch.Tensor) -> Any:
        return self.around(self.net, images)


class Extra(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"scale": 1}

    def set_extra_state(self, state: object) -> None:
        pass


def with_extra_state() -> nn.Module:
    made = net()
    made[-1] = Extra(8, 5)
    return made


def with_sparse_buffer() -> nn.Module:
    made = Around(lambda network, images: network(images))
    made.register_buffer("sparse", torch.eye(3).to_sparse())
    return made


def exported(**options: Any) -> Any:
    return torch.export.export(net(), (torch.rand(2 if options else 1, 3, 32, 32),), **options)


def quantized() -> nn.Module:
    made: nn.Module = torch.ao.quantization.quantize_dynamic(net(), {nn.Linear}, torch.qint8)
    return made


def without_gradient(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = network(images)
    return scores


WORK: dict[str, tuple[Callable[[], Any], str]] = {
    "exported": (lambda: exported().module(), "gradient"),
    "exported program": (exported, "gradient"),
    "exported with a dynamic batch": (
        lambda: exported(dynamic_shapes=({0: torch.export.Dim("b", min=1, max=256)},)),
        "gradient",
    ),
    "scripted": (lambda: torch.jit.script(net()), "gradient"),
    "traced": (lambda: torch.jit.trace(net(), torch.rand(1, 3, 32, 32)), "gradient"),
    "frozen": (lambda: torch.jit.freeze(torch.jit.script(net())), "gradient"),
    "quantized": (quantized, "occlusion"),
    "extra state": (with_extra_state, "gradcam"),
    "sparse buffer": (with_sparse_buffer, "gradcam"),
    "half": (lambda: net().half(), "gradcam"),
    "double": (lambda: net().double(), "gradcam"),
    "traced by fx": (lambda: torch.fx.symbolic_trace(net()), "gradcam"),
    "compiled": (lambda: torch.compile(net()), "gradcam"),
    "parallel": (lambda: nn.DataParallel(net()), "gradcam"),
    "without gradient": (lambda: Around(without_gradient), "occlusion"),
}


def opened(folder: Path, make: Callable[[], Any]) -> tuple[Manifest, Any]:
    """Loaded as a session does; the loader takes what `make` makes from this module."""
    _made["made"] = make
    declared = {"name": "x", "dataset": {}, "folder": folder}
    model = {"loader": "test_loaders_made:load", "input": {"size": 32, "crop": "none"}}
    manifest = Manifest.model_validate({**declared, "model": model})
    (folder / "test_loaders_made.py").write_text(
        f"import sys\ndef load():\n    return sys.modules[{__name__!r}]._made['made']()\n"
    )
    return manifest, load_model(manifest.model, folder, torch.device("cpu"))


_made: dict[str, Callable[[], Any]] = {}


@pytest.mark.parametrize("kind", WORK)
def test_networks_of_these_kinds_work_with_the_method_that_serves_them(
    tmp_path: Path, kind: str
) -> None:
    make, method = WORK[kind]
    manifest, model = opened(tmp_path, make)
    assert count_outputs(model) == 5
    images, labels = torch.rand(5, 3, 32, 32), torch.arange(5)
    engine = Engine(model)
    chosen = method_that_serves(manifest, engine)
    assert chosen.name == method
    derived = chosen.reason is not Unserved.NO_DERIVATIVE
    probe(model, images, labels, "abcde", needs_gradient=derived)
    maps = explain(engine, images, labels, method=chosen.method, seeds=[0] * 5).maps
    assert bool((maps >= 0).all())
    assert float(maps.sum()) > 0
    with torch.no_grad():
        wanted = net()((images - model.mean) / model.std)
    if kind not in ("quantized", "half", "extra state"):
        assert torch.allclose(model(images), wanted, atol=1e-5)


def lazy() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(5)
    )


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return net()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "lazy": (lazy, r"3\.(bias|weight) has no values yet: a lazy layer"),
    "meta": (on_meta, "lies on the device meta"),
    "state": (lambda: net().state_dict(), "returned a OrderedDict, expected a torch.nn.Module"),
    "exit": (lambda: sys.exit(0), r"ends the process \(sys.exit\(0\)\) when it is called"),
    "exit in forward": (
        lambda: Around(lambda _network, _images: sys.exit(0)),
        r"the network ends the process \(sys.exit\(0\)\)",
    ),
    "numpy": (
        lambda: Around(lambda network, images: network(images).detach().numpy()),
        "found ndarray",
    ),
}


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_refused_with_a_sentence(tmp_path: Path, kind: str) -> None:
    make, said = REFUSED[kind]
    with pytest.raises(ModelError, match=said):
        _, model = opened(tmp_path, make)
        count_outputs(model)


ENDS = {
    "in the loader": "import os\ndef load():\n    os._exit(0)\n",
    "in the network": (
        "import os\nfrom torch import nn\n"
        "class Net(nn.Module):\n    def forward(self, x):\n        os._exit(0)\n"
        "def load():\n    return Net()\n"
    ),
    "on import": "import sys\nsys.exit(0)\n",
}


class Left(BaseException):
    """In the place of the end of this process."""


@pytest.mark.parametrize("place", ENDS)
def test_a_process_that_is_ended_by_what_it_calls_does_not_end_well(
    tmp_path: Path,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def leave(status: int) -> NoReturn:
        raise Left(status)

    manifest = planted.write_dataset(tmp_path, per_class=1)
    (tmp_path / "ending.py").write_text(ENDS[place])
    asked = ["check", str(manifest), "--device", "cpu", "--set", "model.loader=ending:load"]
    monkeypatch.setattr(sys, "argv", ["saliency-audit", *asked])
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises((Left, SystemExit)) as ended:
        main()
    assert ended.value.args[0] == (2 if place == "on import" else 1)
    assert "ends the process" in capsys.readouterr().err
    assert os._exit is leave
