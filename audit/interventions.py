"""What is replaced by what, and what the class score does: the experiment behind a verdict.

The object is kept and its background is exchanged for that of another image. A background of the
*same* class is the control: it carries every artefact of pasting, but not another class's scene.
What the model loses on a background of *another* class beyond that, it owed to the background.
(Backgrounds Challenge: Xiao et al. 2021, "Noise or signal".)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.filling import exemplar_fill
from audit.threads import on_threads


def hole_radius(side: int) -> int:
    """Pixels by which a foreground is widened before it is cut out; ``max(2, side / 16)``.

    A narrower hole leaves a fringe of the donor's own object, and innocent classes get accused.
    """
    return max(2, round(side / 16))


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Widen a mask ``(N, H, W)`` bool by `radius` pixels to all eight sides.

    Examples
    --------
    >>> dilate(torch.tensor([[[False, False, True]]]), 1).int().tolist()
    [[[0, 1, 1]]]
    """
    # One direction after the other, and each in doubling steps: a handful of comparisons a pixel
    # instead of (2r + 1)^2.
    return _widen(_widen(mask, radius, 2), radius, 1)


def _widen(mask: Tensor, radius: int, dim: int) -> Tensor:
    padding = (radius, radius) if dim == 2 else (0, 0, radius, radius)
    widened, reach = F.pad(mask, padding), 1
    while reach < 2 * radius + 1:
        step = min(reach, 2 * radius + 1 - reach)
        left = widened.shape[dim] - step
        widened = widened.narrow(dim, 0, left) | widened.narrow(dim, step, left)
        reach += step
    return widened


def _binomial(images: Tensor) -> Tensor:
    """Blur ``(N, C, H, W)`` with the 5-tap binomial kernel; outside counts as zero."""
    height, width = images.shape[-2:]
    # Shifted sums: three times as fast on a CPU as a depthwise convolution, and the same.
    rows = F.pad(images, (0, 0, 2, 2))
    rows = (
        6 * rows[..., 2 : 2 + height, :]
        + 4 * (rows[..., 1 : 1 + height, :] + rows[..., 3 : 3 + height, :])
        + (rows[..., :height, :] + rows[..., 4 : 4 + height, :])
    )
    both = F.pad(rows, (2, 2))
    both = (
        6 * both[..., 2 : 2 + width]
        + 4 * (both[..., 1 : 1 + width] + both[..., 3 : 3 + width])
        + (both[..., :width] + both[..., 4 : 4 + width])
    )
    return both / 256


def feather(mask: Tensor) -> Tensor:
    """Soften a mask ``(N, H, W)`` bool to an alpha channel ``(N, 1, H, W)`` in 0..1.

    The edge is spread over about 1/56 of the side.
    """
    alpha = mask[:, None].float()
    for _ in range(max(1, round(mask.shape[-1] / 112))):
        alpha = _binomial(alpha)
    return alpha.clamp(0, 1)


def inpaint(images: Tensor, hole: Tensor) -> Tensor:
    """Fill holes from their surroundings by normalised convolution, coarse to fine.

    Knutsson and Westin 1993, "Normalized and differential convolution", on a pyramid.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1.
    hole : bool (N, H, W)
        True where the picture shall be replaced. An image that is all hole becomes mid-grey.

    Returns
    -------
    float (N, 3, H, W)
        Unchanged outside the holes.
    """
    known = (~hole)[:, None].to(images.dtype)
    return torch.where(hole[:, None], _fill(images * known, known), images)


def _fill(weighted: Tensor, weight: Tensor) -> Tensor:
    """Fill where weight is 0, from a half-size copy that is filled the same way."""
    normal = weighted / weight.clamp_min(1e-6)
    if min(weighted.shape[-2:]) <= 2:
        total = weight.sum((2, 3), keepdim=True)
        average = weighted.sum((2, 3), keepdim=True) / total.clamp_min(1e-6)
        average = torch.where(total > 0, average, 0.5)
        return torch.where(weight > 0, normal, average)
    smaller = _fill(_halve(weighted), _halve(weight))
    coarse = F.interpolate(smaller, size=weighted.shape[-2:], mode="bilinear", align_corners=False)
    share = weight.clamp(0, 1)
    return share * normal + (1 - share) * coarse


def _halve(images: Tensor) -> Tensor:
    return F.avg_pool2d(_binomial(images), 2, ceil_mode=True, count_include_pad=False)


def _mean_fill(images: Tensor, hole: Tensor) -> Tensor:
    """Fill holes with the mean colour of the rest of the image."""
    known = (~hole)[:, None].to(images.dtype)
    total = known.sum((2, 3), keepdim=True)
    average = (images * known).sum((2, 3), keepdim=True) / total.clamp_min(1)
    return torch.where(hole[:, None], torch.where(total > 0, average, 0.5), images)


def _blur_fill(images: Tensor, hole: Tensor) -> Tensor:
    """Fill holes with the blurred image itself; keeps the object's colours, so a weak control."""
    blurred = images
    for _ in range(8):
        blurred = _binomial(F.pad(blurred, (2, 2, 2, 2), mode="replicate"))[..., 2:-2, 2:-2]
    return torch.where(hole[:, None], blurred, images)


def _textured(images: Tensor, hole: Tensor) -> Tensor:
    """Fill holes with parts of the same image, and smoothly where none fits."""
    if images.device.type != "cpu" or len(images) == 0:
        return exemplar_fill(images, hole, inpaint(images, hole))

    def one(index: int) -> Tensor:
        image, cut = images[index : index + 1], hole[index : index + 1]
        return exemplar_fill(image, cut, inpaint(image, cut))

    return torch.cat(on_threads(one, len(images)))


FILLS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "inpaint": _textured,
    "smooth": inpaint,
    "mean": _mean_fill,
    "blur": _blur_fill,
}


def ring_of_doubt(foreground: Tensor, doubt: float) -> Tensor:
    """The rim of a foreground, where a loose outline holds background as well.

    Parameters
    ----------
    foreground : bool (N, H, W)
        As it was drawn.
    doubt : float
        Width of the rim, in sides of the image, 0..0.25. An object as narrow as that is all rim.

    Returns
    -------
    bool (N, H, W)
        Within the foreground; empty where `doubt` is less than half a pixel.
    """
    radius = round(doubt * foreground.shape[-1])
    return foreground & dilate(~foreground, radius) if radius else torch.zeros_like(foreground)


def hole_of(foreground: Tensor, ignored: Tensor) -> Tensor:
    """What is cut out of a donor: the object, widened by :func:`hole_radius`.

    Parameters
    ----------
    foreground, ignored : bool (N, H, W)
        The object, and the pixels that belong to neither side; both are cut.
    """
    return dilate(foreground | ignored, hole_radius(foreground.shape[-1]))


def paste(images: Tensor, alpha: Tensor, backgrounds: Tensor) -> Tensor:
    """Put objects on other backgrounds.

    Parameters
    ----------
    images : float (N, 3, H, W)
        The objects' own images, 0..1.
    alpha : float (N, 1, H, W)
        From :func:`feather`; 1 on the object.
    backgrounds : float (N, 3, H, W)
        What shall stand behind them, 0..1.
    """
    return torch.lerp(backgrounds, images, alpha)


def object_only(images: Tensor, alpha: Tensor) -> Tensor:
    """Keep the object and replace everything else by the image's mean colour."""
    average = images.mean((2, 3), keepdim=True).expand_as(images)
    return paste(images, alpha, average)


NOISE = 0.25
"""Standard deviation of :func:`with_noise`, in units of 0..1 pixels."""


def with_noise(images: Tensor, where: Tensor, seeds: Sequence[int]) -> Tensor:
    """Lay Gaussian noise over a part of each image.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1.
    where : float (N, 1, H, W)
        Share of the noise that a pixel gets, 0..1.
    seeds : sequence of N int
        One per image, so that the same noise can be laid on object and background.
    """
    noise = torch.stack(
        [
            torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(seed % 2**63))
            for seed in seeds
        ]
    )
    return (images + NOISE * where * noise.to(images)).clamp(0, 1)


PATCHES = 8
"""Patches along a side of :func:`shuffle_patches`."""


def shuffle_patches(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Cut each image into patches and lay them in another order.

    Colours and textures stay what they were; the form of the surroundings is lost.

    Parameters
    ----------
    images : float (N, 3, H, W)
        What does not fill a whole patch at the right and lower edge stays where it is.
    seeds : sequence of N int
        One per image.
    """
    height, width = (n // PATCHES for n in images.shape[-2:])
    if min(height, width) == 0:
        return images
    whole = images[..., : PATCHES * height, : PATCHES * width]
    count, channels = images.shape[:2]
    cut = whole.reshape(count, channels, PATCHES, height, PATCHES, width)
    # (N, C, PATCHES, height, PATCHES, width) -> patches first.
    pieces = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    orders = torch.stack(
        [
            torch.randperm(PATCHES**2, generator=torch.Generator().manual_seed(seed % 2**63))
            for seed in seeds
        ]
    ).to(images.device)
    moved = pieces[torch.arange(len(images), device=images.device)[:, None], orders]
    grid = moved.reshape(count, PATCHES, PATCHES, channels, height, width)
    shuffled = images.clone()
    shuffled[..., : PATCHES * height, : PATCHES * width] = grid.permute(0, 3, 1, 4, 2, 5).reshape(
        whole.shape
    )
    return shuffled


def margins(scores: Tensor, targets: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Class score of the target minus the best other class score.

    Parameters
    ----------
    scores : float (N, K)
        Class scores (logits).
    targets : int64 (N,)
        The class that is asked about.
    excluded : int64 (N,), optional
        One further class that is no rival; where it equals the target nothing is left out.

    Returns
    -------
    float (N,)
        Positive where the target wins; NaN where it has no rival.
    """
    own = scores.gather(1, targets[:, None]).squeeze(1)
    rivals = scores.scatter(1, targets[:, None], -torch.inf)
    if excluded is not None:
        rivals = rivals.scatter(1, excluded[:, None], -torch.inf)
    best = rivals.amax(1)
    return torch.where(best == -torch.inf, torch.nan, own - best)
