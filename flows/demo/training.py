"""Train the demo's classifier and measure what it truly relies on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from flows.demo.compose import KINDS, SIDE, compose, scene_for
from flows.demo.network import INPUT_SIDE, SmallNetwork
from flows.demo.scenes import SCENES, Picture, paint

_log = logging.getLogger(__name__)

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)

PER_CLASS = 160
EPOCHS = 8
BATCH = 64
POOL = 40
POOL_MARGIN = 16
TRUTH_PER_CLASS = 60
RELIANT_DROP = 0.10
"""A class is called reliant when removing the cue costs it this much accuracy."""


def paint_pool(random: np.random.Generator) -> dict[str, list[Picture]]:
    """Paint scenes in advance; each serves many pictures, cut and mirrored anew."""
    larger = INPUT_SIDE + POOL_MARGIN
    pool: dict[str, list[Picture]] = {}
    for name in SCENES:
        painted = [Image.fromarray(_bytes(paint(name, random, SIDE))) for _ in range(POOL)]
        small = [p.resize((larger, larger), Image.Resampling.BILINEAR) for p in painted]
        pool[name] = [np.asarray(p, np.float32) / 255 for p in small]
    return pool


def _bytes(picture: Picture) -> NDArray[np.uint8]:
    return (picture * 255).round().astype(np.uint8)


def _cut(pool: list[Picture], random: np.random.Generator) -> Picture:
    picture = pool[int(random.integers(len(pool)))]
    top, left = random.integers(0, POOL_MARGIN + 1, 2)
    cut = picture[top : top + INPUT_SIDE, left : left + INPUT_SIDE]
    return cut[:, ::-1] if random.random() < 0.5 else cut


def render(
    names: Sequence[str],
    pool: dict[str, list[Picture]],
    random: np.random.Generator,
    correlation: float,
    without_cue: bool = False,
) -> Tensor:
    """Render one picture for each class name, as the network sees it.

    Returns
    -------
    float32 (N, 3, 64, 64)
        Normalised.
    """
    pictures = []
    for name in names:
        kind = KINDS[name]
        scene = scene_for(kind, random, correlation, without_cue)
        pictures.append(compose(kind, _cut(pool[scene], random), random)[0])
    return _normalised(np.stack(pictures))


def _normalised(pictures: NDArray[np.uint8]) -> Tensor:
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def train(seed: int, correlation: float) -> SmallNetwork:
    """Train a network on pictures of its own.

    Parameters
    ----------
    seed : int
        Of pictures, weights and order.
    correlation : float
        How often a planted class stands on its cue, 0..1.
    """
    names = list(KINDS)
    labels = torch.arange(len(names)).repeat(PER_CLASS)
    random = np.random.default_rng([seed, 1])
    images = render(names * PER_CLASS, paint_pool(random), random, correlation)
    # On a CPU this layout trains half as fast again.
    images = images.contiguous(memory_format=torch.channels_last)
    order = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallNetwork(len(names))
    network = network.to(memory_format=torch.channels_last)
    steps = EPOCHS * (len(images) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.02)
    network.train()
    for _ in range(EPOCHS):
        for chosen in torch.split(torch.randperm(len(images), generator=order), BATCH):
            if len(chosen) < BATCH:
                continue
            loss = loss_of(network(_flipped(images[chosen], order)), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    _log.info("trained on %d pictures; last loss %.3f", len(images), loss.item())
    return network.to(memory_format=torch.contiguous_format).eval()


def _flipped(images: Tensor, order: torch.Generator) -> Tensor:
    flip = torch.rand(len(images), generator=order) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def measure_truth(
    network: SmallNetwork, seed: int, correlation: float
) -> dict[str, dict[str, object]]:
    """Measure what each class loses when its cue is removed by the painter, not by the tool.

    New objects are painted once with the scenes of the training set and once on scenes that are
    nobody's cue.
    """
    names = list(KINDS)
    truth: dict[str, dict[str, object]] = {}
    pool = paint_pool(np.random.default_rng([seed, 4]))
    for label, name in enumerate(names):
        random = np.random.default_rng([seed, 2, label])
        accuracies = []
        for without_cue in (False, True):
            images = render([name] * TRUTH_PER_CLASS, pool, random, correlation, without_cue)
            with torch.no_grad():
                accuracies.append(float((network(images).argmax(1) == label).float().mean()))
        drop = accuracies[0] - accuracies[1]
        planted = KINDS[name].cue is not None and correlation > 0
        truth[name] = {
            "cue": KINDS[name].cue if planted else None,
            "correlation": correlation if planted else 0.0,
            "drop": round(drop, 4),
            "reliant": drop >= RELIANT_DROP,
            "accuracy": round(accuracies[0], 4),
        }
    return truth
