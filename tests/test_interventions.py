from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from drawing import foreground
from torch import Tensor

from audit.interventions import (
    FILLS,
    boundary_band,
    dilate,
    feather,
    noise_of,
    object_only,
    paste,
    removal_mask,
    removal_radius,
    shuffle_patches,
    smooth_fill,
    with_noise,
)
from audit.interventions.inpainting import (
    RIM,
    STRANGE,
    best_offsets,
    exemplar_fill,
    source_mask,
)
from audit.measuring.answers import margins


def test_dilation_by_hand() -> None:
    before = foreground(
        """
        BBBBB
        BBBBB
        BBFBB
        BBBBB
        BBBBB
        """
    )
    after = foreground(
        """
        BBBBB
        BFFFB
        BFFFB
        BFFFB
        BBBBB
        """
    )
    assert torch.equal(dilate(before, 1), after)
    assert torch.equal(dilate(before, 0), before)
    assert bool(dilate(before, 2).all())


@pytest.mark.parametrize(("side", "radius"), [(16, 2), (64, 4), (224, 14)])
def test_radius_of_the_hole(side: int, radius: int) -> None:
    assert removal_radius(side) == radius


@pytest.mark.parametrize("fill", FILLS)
def test_a_fill_leaves_the_rest_alone_and_stays_in_range(fill: str) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((2, 3, 40, 40), generator=generator)
    hole = torch.zeros((2, 40, 40), dtype=torch.bool)
    hole[:, 10:30, 5:25] = True
    filled = FILLS[fill](images, hole)
    outside = ~hole[:, None].expand_as(images)
    assert torch.equal(filled[outside], images[outside])
    assert filled.min() >= 0
    assert filled.max() <= 1 + 1e-5
    assert filled.isfinite().all()


@pytest.mark.parametrize("fill", FILLS)
def test_a_batch_of_none_is_filled_too(fill: str) -> None:
    none = FILLS[fill](torch.zeros(0, 3, 40, 40), torch.zeros(0, 40, 40, dtype=torch.bool))
    assert none.shape == (0, 3, 40, 40)


def test_inpainting_a_plain_picture_restores_it() -> None:
    colour = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1).expand(1, 3, 50, 50)
    hole = torch.zeros((1, 50, 50), dtype=torch.bool)
    hole[:, 12:40, 8:33] = True
    damaged = torch.where(hole[:, None], 1.0, colour)
    assert torch.allclose(smooth_fill(damaged, hole), colour, atol=1e-4)


def test_inpainting_shows_nothing_of_what_was_there() -> None:
    hole = torch.zeros((1, 48, 48), dtype=torch.bool)
    hole[:, 10:30, 10:30] = True
    around = torch.rand((1, 3, 48, 48), generator=torch.Generator().manual_seed(0))
    black, white = (torch.where(hole[:, None], value, around) for value in (0.0, 1.0))
    assert torch.equal(smooth_fill(black, hole), smooth_fill(white, hole))


def test_inpainting_an_image_that_is_all_hole_is_grey() -> None:
    hole = torch.ones((1, 20, 20), dtype=torch.bool)
    assert torch.allclose(smooth_fill(torch.rand(1, 3, 20, 20), hole), torch.tensor(0.5))


def test_paste_keeps_the_object_and_takes_the_background() -> None:
    images, backgrounds = torch.ones(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    mask = torch.zeros((1, 64, 64), dtype=torch.bool)
    mask[:, 20:44, 20:44] = True
    pasted = paste(images, feather(mask), backgrounds)
    assert torch.all(pasted[..., 24:40, 24:40] == 1)
    assert torch.all(pasted[..., :16, :] == 0)
    edge = pasted[0, 0, 32, 18:24]
    assert torch.all(edge.diff() >= 0)


def test_pasting_onto_itself_changes_nothing() -> None:
    images = torch.rand(2, 3, 32, 32)
    mask = torch.rand(2, 32, 32) > 0.5
    assert torch.allclose(paste(images, feather(mask), images), images, atol=1e-6)


def test_object_only_is_flat_far_from_the_object() -> None:
    images = torch.rand(1, 3, 64, 64)
    mask = torch.zeros((1, 64, 64), dtype=torch.bool)
    mask[:, 28:36, 28:36] = True
    lone = object_only(images, feather(mask))
    corner = lone[..., :16, :16]
    assert torch.allclose(corner, images.mean((2, 3), keepdim=True).expand_as(corner))


def test_the_hole_covers_pixels_of_neither_side() -> None:
    mask = torch.zeros((1, 32, 32), dtype=torch.bool)
    neither = mask.clone()
    neither[:, 16, 16] = True
    assert bool(removal_mask(mask, neither)[0, 14:19, 14:19].all())


def test_margins_by_hand() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0], [1.0, 0.0, 2.0]])
    targets = torch.tensor([0, 0, 2])
    assert margins(scores, targets).tolist() == [1.0, -5.0, 1.0]
    left_out = torch.tensor([2, 1, 2])
    assert margins(scores, targets, left_out).tolist() == [2.0, -4.0, 1.0]
    two = torch.tensor([[1.0, 0.0]])
    assert margins(two, torch.tensor([0]), torch.tensor([1])).isnan().all()


def test_noise_falls_where_it_is_told_and_is_the_same_on_both_sides() -> None:
    images = torch.full((2, 3, 16, 16), 0.5)
    where = torch.zeros(2, 1, 16, 16)
    where[..., :8] = 1
    noise = noise_of((3, 16, 16), [1, 2])
    left, right = with_noise(images, where, noise), with_noise(images, 1 - where, noise)
    assert torch.equal(left[..., 8:], images[..., 8:])
    assert torch.equal(right[..., :8], images[..., :8])
    everywhere = with_noise(images, torch.ones_like(where), noise)
    assert torch.equal(everywhere, torch.where(where > 0, left, right))
    assert not torch.equal(left[0], left[1])


def test_noise_has_the_spread_it_claims() -> None:
    everywhere = torch.ones(1, 1, 64, 64)
    noisy = with_noise(torch.full((1, 3, 64, 64), 0.5), everywhere, noise_of((3, 64, 64), [7]))
    # Clipped at two standard deviations, which takes 0.04 of the spread.
    assert float(noisy.std()) == pytest.approx(0.25 * 0.9594, rel=0.03)


def test_shuffling_moves_patches_and_changes_none() -> None:
    images = torch.rand(2, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    shuffled = shuffle_patches(images, [1, 2])

    def patches(image: Tensor) -> set[bytes]:
        cut = image.unfold(1, 4, 4).unfold(2, 3, 3).permute(1, 2, 0, 3, 4).reshape(64, -1)
        return {patch.numpy().tobytes() for patch in cut}

    for before, after in zip(images, shuffled, strict=True):
        assert patches(before) == patches(after)
        assert not torch.equal(before, after)
    alone = shuffle_patches(images[1:], [2])
    assert torch.equal(alone[0], shuffled[1])


def test_what_fills_no_whole_patch_stays_in_place() -> None:
    images = torch.rand(1, 3, 21, 18, generator=torch.Generator().manual_seed(0))
    shuffled = shuffle_patches(images, [3])
    assert torch.equal(shuffled[..., 16:, :], images[..., 16:, :])
    assert torch.equal(shuffled[..., 16:], images[..., 16:])


def test_the_boundary_band_lies_inside_the_outline() -> None:
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, 4:12, 4:12] = True
    ring = boundary_band(mask, 1 / 16)
    core = torch.zeros_like(mask)
    core[:, 5:11, 5:11] = True
    assert torch.equal(ring, mask & ~core)
    assert not boundary_band(mask, 0.0).any()
    assert torch.equal(boundary_band(mask, 0.25), mask)


def test_texture_is_continued_where_a_smooth_guess_loses_it() -> None:
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::8] = stripes[..., 1::8] = stripes[..., 2::8] = stripes[..., 3::8] = 1.0
    hole = torch.zeros(1, 64, 64, dtype=torch.bool)
    hole[:, 24:40, 24:40] = True
    filled, guessed = FILLS["inpaint"](stripes, hole), FILLS["smooth"](stripes, hole)
    assert torch.equal(filled, stripes)
    assert float((guessed - stripes).abs()[:, :, 24:40, 24:40].mean()) > 0.3


def test_what_no_move_reaches_is_guessed() -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    hole = torch.ones(1, 32, 32, dtype=torch.bool)
    assert torch.equal(FILLS["inpaint"](image, hole), FILLS["smooth"](image, hole))
    # Only the border is known: no move covers the middle.
    hole[:, :, 0] = False
    filled = FILLS["inpaint"](image, hole)
    assert torch.equal(filled[:, :, :, 0], image[:, :, :, 0])
    assert bool(filled.isfinite().all())


def test_a_fill_depends_on_no_neighbour_and_shows_nothing_of_the_object() -> None:
    random = torch.Generator().manual_seed(1)
    images = torch.rand(3, 3, 48, 40, generator=random)
    hole = torch.zeros(3, 48, 40, dtype=torch.bool)
    hole[0, 5:20, 5:20] = hole[1, 10:40, 10:30] = hole[2, 0:10, 0:10] = True
    together = FILLS["inpaint"](images, hole)
    alone = torch.cat([FILLS["inpaint"](images[i : i + 1], hole[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)
    other = torch.where(hole[:, None], torch.rand(3, 3, 48, 40, generator=random), images)
    assert torch.equal(FILLS["inpaint"](other, hole), together)


def test_offsets_by_hand() -> None:
    # Left half dark, right half bright; the hole in the left takes from the left.
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 1.0
    hole = torch.zeros(1, 32, 32, dtype=torch.bool)
    hole[:, 14:18, 4:8] = True
    offsets, possible = best_offsets(image, hole, source_mask(image, hole), image)
    assert possible[0, 0]
    assert -4 <= int(offsets[0, 0, 1]) < 16 - 7 - RIM
    assert len(offsets) == 1
    full, none = torch.ones_like(hole), torch.zeros_like(hole)
    assert not best_offsets(image, full, none, image)[1].any()
    assert not best_offsets(image, none, full, image)[1].any()


def test_many_holes_are_filled_at_once_as_each_by_itself() -> None:
    """On a GPU a batch is filled together; holes of all sizes stand in it, and none at all."""
    random = torch.Generator().manual_seed(3)
    images = F.interpolate(torch.rand(40, 3, 12, 12, generator=random), (64, 48), mode="bilinear")
    hole = torch.zeros(40, 64, 48, dtype=torch.bool)
    for index in range(1, 39):
        top, left = index % 7 * 5, index % 5 * 6
        hole[index, top : top + 6 + index // 2, left : left + 4 + index // 3] = True
    hole[39] = True
    guess = smooth_fill(images, hole)
    together = exemplar_fill(images, hole, guess)
    alone = [exemplar_fill(images[i : i + 1], hole[i : i + 1], guess[i : i + 1]) for i in range(40)]
    assert torch.equal(together, torch.cat(alone))
    assert not torch.equal(together, guess)
    assert torch.equal(together[0], images[0])


def test_a_thing_beside_the_hole_is_not_copied_into_it() -> None:
    random = torch.Generator().manual_seed(2)
    image = (0.3 + 0.1 * torch.rand(1, 3, 64, 64, generator=random)).clamp(0, 1)
    image[:, :, 40:52, 44:56] = 0.9  # a companion
    hole = torch.zeros(1, 64, 64, dtype=torch.bool)
    hole[:, 8:40, 8:32] = True
    filled = FILLS["inpaint"](image, hole)
    inside = filled[:, :, 8:40, 8:32]
    assert float(inside.max()) <= 0.4
    # Grain is there all the same; a smooth guess has none.
    smooth = FILLS["smooth"](image, hole)[:, :, 8:40, 8:32]
    assert float(inside.std()) > 3 * float(smooth.std())


def test_the_source_mask_by_hand() -> None:
    image = torch.full((1, 3, 32, 32), 0.5)
    image[..., 20:24, 20:24] = 0.5 + 3 * STRANGE
    hole = torch.zeros(1, 32, 32, dtype=torch.bool)
    hole[:, 4:8, 4:8] = True
    fits = source_mask(image, hole)
    # Not the thing, nor two cells around it; not the hole; all else.
    wanted = ~hole
    wanted[:, 20 - RIM : 24 + RIM, 20 - RIM : 24 + RIM] = False
    assert torch.equal(fits, wanted)
