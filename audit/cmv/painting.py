"""Pictures as spectra with decorrelated colours, and the random views a picture is tried in.

The parameterisation of Olah, Mordvintsev and Schubert 2017, "Feature visualization": steps of
equal size in a spectrum divided by frequency, and along the axes of natural colours, lead to
pictures rather than to high-frequency noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Root of the colour covariance of 198 COCO photographs; columns: light, warm-cold, green-magenta.
NATURAL_COLORS = (
    (0.554, 0.202, 0.062),
    (0.579, 0.020, -0.111),
    (0.598, -0.206, 0.050),
)


def color_correlation(images: Tensor) -> Tensor:
    """Root of the colour covariance: turns uncorrelated channels into such colours as these.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1; a few hundred small images of the audited dataset are enough.

    Returns
    -------
    float32 (3, 3)
        On the CPU, of Frobenius norm 1; colours are ``root @ channels``. Images of a single
        colour tell nothing: natural images stand in.

    Examples
    --------
    >>> root = color_correlation(torch.rand(2, 1, 8, 8).expand(2, 3, 8, 8))
    >>> [round(x, 3) for x in root[:, 0].tolist()]  # grey images vary in lightness only
    [0.577, 0.577, 0.577]
    """
    pixels = images.detach().to("cpu", torch.float64).transpose(0, 1).flatten(1)
    covariance = torch.cov(pixels) if pixels.shape[1] > 1 else torch.zeros(3, 3).double()
    if not bool(torch.isfinite(covariance).all()) or float(covariance.trace()) < 1e-6:
        root = torch.tensor(NATURAL_COLORS, dtype=torch.float64)
    else:
        values, vectors = torch.linalg.eigh(covariance)
        order = values.argsort(descending=True)
        # The sign of an eigenvector is arbitrary; fixed, so that runs can be repeated.
        signs = torch.where(vectors.sum(0) < 0, -1.0, 1.0)
        root = (vectors * signs * values.clamp_min(0).sqrt())[:, order]
    normed: Tensor = (root / root.norm()).float()
    return normed


def spectrum(generators: Sequence[torch.Generator], size: int) -> Tensor:
    """Draw small random spectra ``(B, 3, S, S/2+1, 2)``, one per generator, on the CPU."""
    shape = (3, size, size // 2 + 1, 2)
    return 0.01 * torch.stack([torch.randn(shape, generator=g) for g in generators])


def paint(spectra: Tensor, colors: Tensor) -> Tensor:
    """Turn spectra into pictures.

    Parameters
    ----------
    spectra : float32 (B, 3, S, S/2+1, 2)
        Real and imaginary parts.
    colors : float32 (3, 3)
        From :func:`color_correlation`.

    Returns
    -------
    float32 (B, 3, S, S)
        Strictly within 0..1.
    """
    size = spectra.shape[2]
    down = torch.fft.fftfreq(size, device=spectra.device)[:, None]
    across = torch.fft.rfftfreq(size, device=spectra.device)
    frequency = (down.square() + across.square()).sqrt()
    scaled = torch.view_as_complex(spectra.contiguous()) / frequency.clamp_min(1 / size)
    channels = torch.fft.irfft2(scaled, s=(size, size), norm="ortho") / 4
    # The root has norm 1 as a whole; its first column alone had norm 1 when the 4 was chosen.
    return torch.einsum("ij,bjhw->bihw", colors / colors.norm(dim=0).max(), channels).sigmoid()


def draw_crops(generators: Sequence[torch.Generator], low: float, high: float) -> Tensor:
    """Draw one square crop per picture, side `low`..`high` of the picture, anywhere inside.

    Returns
    -------
    float32 (B, 2, 3)
        Affine maps for :func:`view`, on the CPU.
    """
    drawn = torch.stack([torch.rand(3, generator=g) for g in generators])
    scale = low + (high - low) * drawn[:, 0]
    shift = (1 - scale)[:, None] * (2 * drawn[:, 1:] - 1)
    zero = torch.zeros_like(scale)
    rows = [
        torch.stack([scale, zero, shift[:, 0]], 1),
        torch.stack([zero, scale, shift[:, 1]], 1),
    ]
    return torch.stack(rows, 1)


def view(images: Tensor, crops: Tensor) -> Tensor:
    """Enlarge crops ``(B, 2, 3)`` of images ``(B, 3, S, S)`` to full size, bilinearly."""
    grid = F.affine_grid(crops, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def soften(images: Tensor) -> Tensor:
    """Lose the finest detail, as a mild JPEG does: to two thirds of the size and back."""
    size = images.shape[2:]
    smaller = [max(1, round(side * 2 / 3)) for side in size]
    small = F.interpolate(images, size=smaller, mode="bilinear", antialias=True)
    return F.interpolate(small, size=size, mode="bilinear", align_corners=False)
