"""Objects on the backgrounds of a bank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from audit.geometry import Geometry
from audit.measuring.donors import DonorBank
from audit.measuring.swaps import Objects, swapped, swapped_scores
from audit.models import AuditedModel
from audit.models.engine import Engine

SIDE = 32


@pytest.fixture
def bank(tmp_path: Path) -> DonorBank:
    """Two plain backgrounds: 51 of 255, and 255."""
    pictures = np.stack([np.full((3, SIDE, SIDE), value, np.uint8) for value in (51, 255)])
    np.save(tmp_path / "backgrounds.npy", pictures)
    pd.DataFrame({"row": [4, 9], "label": [0, 1], "sha256": ["a", "b"]}).to_parquet(
        tmp_path / "donors.parquet"
    )
    return DonorBank(tmp_path)


@pytest.fixture
def objects() -> Objects:
    """A black square in the middle of each of three images, 0.5 bright elsewhere."""
    images = torch.full((3, 3, SIDE, SIDE), 0.5)
    foreground = torch.zeros(3, SIDE, SIDE, dtype=torch.bool)
    foreground[:, 8:24, 8:24] = True
    images[:, :, 8:24, 8:24] = torch.tensor([0.0, 0.1, 0.3]).view(3, 1, 1, 1)
    return Objects.of(images, foreground)


def test_a_swap_keeps_the_object_and_takes_all_else_from_the_donor(
    objects: Objects, bank: DonorBank
) -> None:
    pictures = swapped(objects, [2, 0, 2], bank, [0, 1, 1])
    for picture, own, ground in zip(pictures, (0.3, 0.0, 0.3), (0.2, 1.0, 1.0), strict=True):
        assert torch.allclose(picture[:, 12:20, 12:20], torch.tensor(own))
        assert torch.allclose(picture[:, :4], torch.tensor(ground))


def test_backgrounds_can_be_changed_before(objects: Objects, bank: DonorBank) -> None:
    pictures = swapped(objects, [0, 1], bank, [1, 1], lambda grounds: 1 - grounds)
    assert torch.equal(pictures[:, :, :4], torch.zeros(2, 3, 4, SIDE))
    plain = swapped(objects, [0, 1], bank, [1, 1])
    assert torch.equal(pictures[:, :, 12:20, 12:20], plain[:, :, 12:20, 12:20])


def test_all_objects_in_order_are_not_copied_and_none_is_none(
    objects: Objects, bank: DonorBank
) -> None:
    assert objects.chosen([0, 1, 2]) is objects
    assert objects.chosen([0, 1]).images.shape[0] == 2
    assert torch.equal(objects.chosen([1, 0, 2]).images[0], objects.images[1])
    assert swapped(objects, [], bank, []).shape == (0, 3, SIDE, SIDE)


def test_scores_are_those_of_the_pictures(objects: Objects, bank: DonorBank) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 4))
    model = Engine(AuditedModel(network, None, Geometry(SIDE), (0,) * 3, (1,) * 3))
    scores = swapped_scores(model, objects, [0, 2], bank, [1, 0])
    torch.testing.assert_close(scores, model(swapped(objects, [0, 2], bank, [1, 0])))
