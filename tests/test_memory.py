"""Memory that does not suffice, and what a GPU may round: both without a GPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from audit.dataset.batches import taken_from
from audit.dataset.shared_pixels import SharedPixels
from audit.models.memory import Capacity, activation_bytes, is_out_of_memory
from audit.models.rounding import ROUNDING, tf32
from audit.saliency import Microbatches

GPU = torch.device("cuda")


@given(count=st.integers(1, 40), most=st.integers(1, 40))
def test_halves_cover_every_image_once_in_order(count: int, most: int) -> None:
    def work(first: int, end: int) -> list[int]:
        if end - first > most:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
        return list(range(first, end))

    capacity = Capacity()
    parts = capacity.in_parts(count, work)
    assert [one for part in parts for one in part] == list(range(count))
    # What was found holds for the next batch, which meets no refusal any more.
    assert capacity.images_at_a_time(count) <= most


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: out of memory",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDNN_STATUS_ALLOC_FAILED",
        "Unable to find an engine to execute this computation",
        "[enforce fail] DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_every_way_of_saying_that_memory_ran_out_is_understood(said: str) -> None:
    assert is_out_of_memory(RuntimeError(said))
    assert not is_out_of_memory(ValueError(said))


def test_an_image_that_does_not_fit_alone_and_any_other_error_are_raised() -> None:
    def never(first: int, end: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def wrong(first: int, end: int) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(torch.OutOfMemoryError):
        Capacity().in_parts(8, never)
    untouched = Capacity()
    with pytest.raises(RuntimeError, match="shapes"):
        untouched.in_parts(8, wrong)
    assert untouched.images_at_a_time(8) == 8


def test_a_batch_on_another_device_is_halved_in_any_pass() -> None:
    """Whatever method asks: on the device named meta tensors have a form and no memory."""
    images = torch.empty(10, 3, 8, 8, device="meta")
    met: list[int] = []

    def function(part: torch.Tensor, targets: torch.Tensor, seeds: object) -> tuple[torch.Tensor]:
        if len(part) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        met.append(len(part))
        return (part.sum((1, 2, 3)),)

    batches = Microbatches(images, torch.zeros(10, dtype=torch.int64), list(range(10)))
    (sums,) = batches.map(function)
    assert sums.shape == (10,)
    assert met == [2] * 5


def test_of_blocks_within_each_other_the_outermost_rounds_and_all_is_undone() -> None:
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32
    with tf32(False, GPU):
        with tf32(True, GPU):
            assert (cudnn.allow_tf32, products.allow_tf32) == (False, False)
        assert (cudnn.allow_tf32, products.allow_tf32) == (False, False)
    with pytest.raises(ValueError, match="in the block"), tf32(True, GPU):
        assert (cudnn.allow_tf32, products.allow_tf32) == (True, True)
        raise ValueError("in the block")
    assert (cudnn.allow_tf32, products.allow_tf32) == before
    with tf32(not before[0], torch.device("cpu")):
        assert (cudnn.allow_tf32, products.allow_tf32) == before


def test_float32_rounds_nowhere_and_auto_never_a_map() -> None:
    assert ROUNDING["float32"] == (False, False)
    assert ROUNDING["auto"] == (False, True)
    assert ROUNDING["tf32"] == (True, True)


def test_rows_are_taken_as_an_index_takes_them() -> None:
    values = torch.arange(12.0).view(4, 3)
    assert taken_from(values, [0, 1, 2, 3]) is values
    assert torch.equal(taken_from(values, [3, 1, 1]), values[[3, 1, 1]])
    assert taken_from(values, []).shape == (0, 3)


def test_pixels_that_one_side_writes_the_other_reads() -> None:
    random = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (6, 6, 3), generator=random).byte().numpy()
    mask = torch.randint(0, 2, (6, 6), generator=random).byte().numpy()
    parent = SharedPixels(6)
    child = SharedPixels(6, parent.descriptor)
    child.write(image, mask)
    read, outline = parent.image(), parent.mask()
    child.write(255 - image, None)
    # Copies: the next image does not change what was read.
    assert (read == image).all()
    assert (outline == mask).all()
    assert (parent.image() == 255 - image).all()
    with pytest.raises(ValueError, match="out of range"):
        child.write(image.repeat(3, 0), None)
    parent.close()


def test_what_a_pass_keeps_is_counted_once_and_without_weights() -> None:
    convolution = nn.Conv2d(3, 8, 1, bias=False)
    network = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 2))
    images = torch.rand(2, 3, 4, 4)
    # The convolution keeps its input, ReLU its output; the last layer that output once more.
    inputs, outputs = 2 * 3 * 16 * 4, 2 * 8 * 16 * 4
    with torch.inference_mode():
        assert activation_bytes(network, images) == inputs + outputs
