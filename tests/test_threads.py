"""Pieces of work side by side: the same answers as one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from audit import cancellation
from audit.cancellation import Stopped
from audit.geometry import Geometry
from audit.interventions import FILLS
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.models.state import keeps_state
from audit.saliency import METHODS, MICROBATCH, class_scores, explain
from audit.threads import _pool, as_they_come, on_threads

QUICK: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
    "rise": {"samples": 32},
}


@pytest.fixture(autouse=True)
def _as_many_threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    cancellation.begin()


def engine_of(network: nn.Module) -> Engine:
    return Engine(AuditedModel(network, None, Geometry(32), (0.5,) * 3, (0.25,) * 3))


def mobilenet() -> Engine:
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(weights=None, num_classes=5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(some_images())
    return engine_of(network)


def attending() -> Engine:
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(32, 16, 1, 2, 32, 64, num_classes=5)
    # torchvision begins with a head of zeros, by which nothing would be attended to.
    nn.init.normal_(network.heads.head.weight)
    return engine_of(network)


def some_images() -> Tensor:
    return torch.rand(7, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Forgetful(nn.Module):
    """Stores its features in the module, as networks do that show their attention."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.features = torch.zeros(())

    def forward(self, images: Tensor) -> Tensor:
        self.features = self.convolution(images)
        # Another image may arrive while this one sleeps.
        threading.Event().wait(0.002)
        return self.features.mean((2, 3))


class Lister(nn.Module):
    """Keeps what it saw in a list that stays the same list."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = [torch.zeros(())]

    def forward(self, images: Tensor) -> Tensor:
        self.seen[0] = images.mean((2, 3))
        return self.seen[0]


class Counter(nn.Module):
    """Counts in a buffer, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.count.add_(1)
        return images.mean((2, 3))


class Thrifty(nn.Module):
    """Makes a table once, at the first image, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.table: dict[int, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        if side not in self.table:
            self.table[side] = torch.ones(side)
        return (images * self.table[side]).mean((2, 3))


class BatchCentred(nn.Module):
    """Takes the mean over the images of a call away, as BatchNorm in train mode does."""

    def forward(self, images: Tensor) -> Tensor:
        return (images - images.mean(0)).square().mean((2, 3))


class Placed(nn.Module):
    """Rounds otherwise at every place of a call."""

    def forward(self, images: Tensor) -> Tensor:
        shifts = torch.arange(len(images))[:, None] * 1e-6
        return images.mean((2, 3)) + shifts


class OneOnly(nn.Module):
    """Was exported for calls of one image."""

    def forward(self, images: Tensor) -> Tensor:
        return images.view(1, 3, 32, 32).mean((2, 3))


@pytest.mark.parametrize("name", METHODS)
def test_a_map_is_the_same_to_the_last_bit_on_any_number_of_threads(name: str) -> None:
    method = partial(METHODS[name], **QUICK.get(name, {}))
    model = attending() if name == "gradient_rollout" else mobilenet()
    images, targets = some_images(), torch.arange(7) % 5
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(
            explain(model, images, targets, seeds=range(7), method=method, target="contrast").maps
        )
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_class_scores_are_the_same_to_the_last_bit_on_any_number_of_threads() -> None:
    model, images = mobilenet(), some_images()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(class_scores(model, images))
        # One image alone, too: it must not be shared among the threads.
        assert torch.equal(class_scores(model, images[3:4]), found[0][3:4])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("network", [Forgetful, Lister, Counter])
def test_a_network_that_keeps_what_it_saw_is_found_out(network: type[nn.Module]) -> None:
    assert keeps_state(engine_of(network()), some_images()[:1])


@pytest.mark.parametrize("network", [Thrifty, partial(nn.Conv2d, 3, 4, 32)])
def test_a_table_made_once_is_no_state(network: Any) -> None:
    assert not keeps_state(engine_of(network()), some_images()[:1])


def test_a_scripted_network_goes_one_image_after_the_other() -> None:
    with pytest.warns(FutureWarning, match="script"):
        scripted = torch.jit.script(nn.Conv2d(3, 4, 32))
    assert keeps_state(engine_of(scripted), some_images()[:1])


def test_images_are_not_mixed_up_in_a_network_that_stores_its_features() -> None:
    torch.manual_seed(0)
    model, images = engine_of(Forgetful()), some_images()
    torch.set_num_threads(1)
    alone = class_scores(model, images)
    torch.set_num_threads(3)
    assert torch.equal(class_scores(model, images), alone)


class Viewing(nn.Module):
    """Takes its images as one run of memory, which they are in one layout only."""

    def forward(self, images: Tensor) -> Tensor:
        return images.view(len(images), -1).mean(1, keepdim=True)


class Strided(nn.Module):
    """Reads memory in the order of the usual layout, whatever the layout."""

    def forward(self, images: Tensor) -> Tensor:
        plain = images.as_strided(images.shape, (3 * 32 * 32, 32 * 32, 32, 1))
        return plain[:, :, :16].mean((2, 3))


@pytest.mark.parametrize("network", [Viewing, Strided])
def test_a_network_that_needs_the_usual_layout_gets_it(network: type[nn.Module]) -> None:
    model, images = engine_of(network()), some_images()
    model.model.forward = model.model.module.forward  # type: ignore[method-assign]
    assert model.trials.layout(images[:1], MICROBATCH) is torch.contiguous_format
    torch.testing.assert_close(class_scores(model, images), model(images))


class _SlopesPlaced(torch.autograd.Function):
    @staticmethod
    def forward(_context: object, images: Tensor) -> Tensor:
        return images.clone()

    @staticmethod
    def backward(_context: object, slopes: Tensor) -> Tensor:  # type: ignore[override]
        return slopes * (1 + torch.arange(len(slopes)).view(-1, 1, 1, 1))


class SlopesPlaced(nn.Module):
    """Has derivatives that depend on the place in a call, below its only convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolution(_SlopesPlaced.apply(images)).relu().mean((2, 3))


def test_a_class_activation_map_tries_the_whole_network() -> None:
    model, images = engine_of(SlopesPlaced()), some_images()
    targets, seeds = torch.zeros(len(images), dtype=torch.int64), [0] * len(images)
    METHODS["gradcam"](model, images, targets, seeds=seeds)
    assert model.trials.layout(images[:1], MICROBATCH) is None
    together, _ = METHODS["gradient"](model, images, targets, seeds=seeds)
    alone, _ = METHODS["gradient"](model, images[-1:], targets[-1:], seeds=seeds[-1:])
    assert torch.equal(together[-1:], alone)


@pytest.mark.parametrize("network", [BatchCentred, Placed, OneOnly])
def test_a_network_that_mixes_images_up_is_asked_for_one_at_a_time(
    network: type[nn.Module],
) -> None:
    model, images = engine_of(network()), some_images()
    assert model.trials.layout(images[:1], MICROBATCH) is None
    alone = torch.cat([model(image) for image in images.split(1)])
    assert torch.equal(class_scores(model, images), alone)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "vit"])
def test_a_network_that_keeps_images_apart_gets_microbatches_of_one_size(name: str) -> None:
    torch.manual_seed(0)
    network = (
        torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=4)
        if name == "vit"
        else torchvision.models.get_model(name, weights=None, num_classes=4)
    )
    model, images, sizes = engine_of(network), some_images(), set()
    assert model.trials.layout(images[:1], MICROBATCH) is torch.channels_last
    model.model.register_forward_hook(lambda _m, inputs, _o: sizes.add(len(inputs[0])))
    together = class_scores(model, images)
    assert sizes == {MICROBATCH, 1}  # One at a time for the question whether it keeps state.
    order = torch.tensor([5, 0, 3, 6, 2, 1, 4])
    assert torch.equal(class_scores(model, images[order]), together[order])
    assert torch.equal(class_scores(model, images[3:4]), together[3:4])
    method = METHODS["gradient"]
    maps = explain(model, images, order % 4, method=method, seeds=range(7)).maps
    for index in order.tolist():
        one = slice(index, index + 1)
        again = explain(model, images[one], order[one] % 4, method=method, seeds=[0])
        assert torch.equal(again.maps[0], maps[index])
        assert again.scores is not None
        torch.testing.assert_close(again.scores[0], together[index])


def test_work_comes_back_in_order_and_from_several_threads() -> None:
    torch.set_num_threads(3)
    meeting = threading.Barrier(3)

    def piece(index: int) -> tuple[int, int, int]:
        meeting.wait(timeout=30)
        return index, threading.get_ident(), torch.get_num_threads()

    found = on_threads(piece, 6)
    assert [index for index, _, _ in found] == list(range(6))
    assert len({thread for _, thread, _ in found}) == 3
    assert {threads for _, _, threads in found} == {1}
    assert torch.get_num_threads() == 3


def test_threads_made_afterwards_still_have_all_threads() -> None:
    torch.set_num_threads(2)
    on_threads(lambda index: index, 2)
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


def test_the_callers_modes_hold_in_the_threads() -> None:
    torch.set_num_threads(2)

    def modes(_index: int) -> tuple[bool, bool]:
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    assert set(on_threads(modes, 2)) == {(True, False)}
    with torch.no_grad():
        assert set(on_threads(modes, 2)) == {(False, False)}
    with torch.inference_mode():
        assert set(on_threads(modes, 2)) == {(False, True)}


def test_the_first_failure_is_raised_and_nothing_goes_on_behind_it() -> None:
    torch.set_num_threads(2)
    running: list[int] = []

    def piece(index: int) -> None:
        running.append(index)
        if index in (1, 2):
            raise ValueError(f"piece {index}")
        running.remove(index)

    with pytest.raises(ValueError, match="piece 1"):
        on_threads(piece, 50)
    assert set(running) <= {1, 2}


def test_work_within_work_stays_in_its_thread() -> None:
    torch.set_num_threads(2)
    nested = on_threads(lambda outer: on_threads(lambda inner: (outer, inner), 2), 2)
    assert nested == [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]


@pytest.mark.parametrize("fill", FILLS)
def test_a_hole_is_filled_the_same_on_any_number_of_threads(fill: str) -> None:
    images = some_images()
    hole = torch.zeros(7, 32, 32, dtype=torch.bool)
    hole[:, 8:20, 10:25] = True
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(FILLS[fill](images, hole))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_items_of_several_streams_come_as_they_are_ready() -> None:
    torch.set_num_threads(3)
    meeting = threading.Barrier(3)

    def stream(index: int) -> Iterator[tuple[int, int, int]]:
        for turn in range(3):
            meeting.wait(timeout=30)
            yield index, turn, torch.get_num_threads()

    found = list(as_they_come(stream, 3))
    assert sorted(found) == [(index, turn, 1) for index in range(3) for turn in range(3)]
    for index in range(3):
        assert [turn for which, turn, _ in found if which == index] == [0, 1, 2]
    assert torch.get_num_threads() == 3


def test_streams_stop_where_the_caller_stops() -> None:
    torch.set_num_threads(2)
    closed: list[int] = []

    def endless(index: int) -> Iterator[int]:
        try:
            while True:
                yield index
        finally:
            closed.append(index)

    stream = as_they_come(endless, 2)
    next(stream)
    stream.close()
    assert closed
    assert set(closed) <= {0, 1}
    assert on_threads(lambda index: index, 2) == [0, 1]


def test_a_failing_stream_is_heard_and_the_others_stop() -> None:
    torch.set_num_threads(2)

    def stream(index: int) -> Iterator[int]:
        yield index
        if index == 1:
            raise ValueError("torn")
        while True:
            yield index

    with pytest.raises(ValueError, match="torn"):
        list(as_they_come(stream, 2))


def test_streams_may_ask_the_caller_for_work_on_threads_in_between() -> None:
    """A caller that measures what it got must not wait for streams that wait for it."""
    torch.set_num_threads(2)
    for item in as_they_come(lambda index: iter(range(200)), 2):
        assert on_threads(lambda index, item=item: item + index, 2) == [item, item + 1]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("together", [True, False])
def test_who_was_asked_to_stop_begins_no_piece_any_more(threads: int, together: bool) -> None:
    torch.set_num_threads(threads)
    begun: list[int] = []

    def work(index: int) -> None:
        begun.append(index)
        cancellation.ask_to_stop()

    with pytest.raises(Stopped):
        on_threads(work, 50, together=together)
    # As many as there are threads may have asked before the first one answered.
    assert 1 <= len(begun) <= threads
    cancellation.begin()
    assert on_threads(lambda index: index, 3) == [0, 1, 2]


def test_streams_nobody_listens_to_end_when_asked_to_stop() -> None:
    """A traceback keeps them alive, and threads are waited for before a process can end."""
    torch.set_num_threads(2)
    ended = threading.Barrier(3)

    def endless(index: int) -> Iterator[int]:
        try:
            while True:
                yield index
        finally:
            ended.wait(timeout=60)

    stream = as_they_come(endless, 2)
    next(stream)
    cancellation.ask_to_stop()
    ended.wait(timeout=60)
    with pytest.raises(Stopped):
        list(stream)


def test_a_stop_while_threads_begin_leaves_none_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = threading.get_ident()

    class Interrupted(threading.Barrier):
        def wait(self, timeout: float | None = None) -> int:
            if threading.get_ident() == here:
                raise Stopped
            return super().wait(timeout)

    monkeypatch.setattr("audit.threads.threading.Barrier", Interrupted)
    torch.set_num_threads(2)
    _pool.cache_clear()
    before = set(threading.enumerate())
    with pytest.raises(Stopped):
        on_threads(lambda index: index, 2)
    # Python waits for them before it ends.
    begun = [thread for thread in threading.enumerate() if thread not in before]
    for thread in begun:
        thread.join(timeout=60)
    assert begun
    assert not any(thread.is_alive() for thread in begun)
