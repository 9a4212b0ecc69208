"""The recorder of forward passes: what it keeps, and that nothing of it stays."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
import torchvision
from torch import Tensor, nn

from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import class_scores
from audit.saliency.hooks import record_calls


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def with_batch_norm() -> Engine:
    network = torchvision.models.resnet18(num_classes=3)
    return Engine(AuditedModel(network, None, Geometry(32), (0.5,) * 3, (0.25,) * 3))


def some_images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def output(_name: str, _inputs: object, out: Tensor) -> Tensor:
    return out


def test_calls_are_kept_in_order_of_execution() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
    modules = {"last": network[2], "first": network[0], "middle": network[1]}
    with record_calls(modules, lambda name, _inputs, _out: name) as names:
        network(torch.zeros(1, 4))
        assert names.calls == ["first", "middle", "last"]
        assert names.take_last() == "last"
        assert names.calls == []
        assert names.take_last() is None


def test_what_is_passed_on_replaces_the_output() -> None:
    network = nn.Sequential(nn.Identity(), nn.Flatten())
    images = some_images(1)
    with record_calls({"": network[0]}, output, lambda kept: 2 * kept) as seen:
        assert torch.equal(network(images), 2 * images.flatten(1))
        assert torch.equal(seen.calls[0], images)
    assert torch.equal(network(images), images.flatten(1))


def test_a_call_of_which_nothing_is_kept_changes_nothing() -> None:
    network, images = nn.Flatten(), some_images(1)
    with record_calls({"": network}, lambda *_: None, lambda _: images) as seen:
        assert torch.equal(network(images), images.flatten(1))
        assert seen.calls == []


def test_each_thread_sees_its_own_calls() -> None:
    network, meeting, seen_there = nn.Identity(), threading.Barrier(2), []
    with record_calls({"": network}, output) as seen:

        def elsewhere() -> None:
            network(torch.ones(1))
            meeting.wait(timeout=30)
            seen_there.extend(seen.calls)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        meeting.wait(timeout=30)
        network(torch.zeros(1))
        assert [float(call) for call in seen.calls] == [0]
        thread.join(timeout=30)
    assert [float(call) for call in seen_there] == [1]


def test_neither_hooks_nor_tensors_outlive_the_block_whatever_ended_it() -> None:
    model = with_batch_norm()
    with (
        pytest.raises(KeyError),
        record_calls(dict(model.named_modules()), output) as seen,
    ):
        kept = weakref.ref(model(some_images(1)).detach())
        assert len(seen.calls) > 60
        raise KeyError
    gc.collect()
    assert hooks(model) == 0
    assert seen.calls == []
    assert kept() is None


@pytest.mark.parametrize("known", [False, True])
def test_a_model_that_is_recorded_is_asked_itself_and_no_copy_takes_a_hook_along(
    known: bool,
) -> None:
    model, images = with_batch_norm(), some_images()
    if known:
        class_scores(model, images)
    asked: list[int] = []
    # The calls may come from another thread.
    with record_calls({"fc": model.module.fc}, lambda *call: asked.append(len(call[2]))):
        assert model.folded(images[:1]) is model.model
        class_scores(model, images)
        assert sum(asked) >= len(images)
    before = len(asked)
    copy = model.folded(images[:1])
    assert copy is not model.model
    assert model.for_scores(images[:1])[0] is copy
    assert hooks(model) == hooks(copy) == 0
    for _ in range(2):
        class_scores(model, images)
    assert len(asked) == before
