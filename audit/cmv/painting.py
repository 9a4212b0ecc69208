"""Pictures as spectra with decorrelated colours, and the random views a picture is tried in.

The parameterisation of Olah, Mordvintsev and Schubert 2017, "Feature visualization": steps of
equal size in a spectrum divided by frequency, and along the axes of natural colours, lead to
pictures rather than to high-frequency noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

# Root of the colour covariance of 198 COCO photographs; columns: light, warm-cold, green-magenta.
NATURAL_COLORS = (
    (0.554, 0.202, 0.062),
    (0.579, 0.020, -0.111),
    (0.598, -0.206, 0.050),
)

_EDGE = 0.02
"""How near to black and white a pixel counts where its logit is taken."""


@dataclass(frozen=True, eq=False)
class Palette:
    """What pictures are painted with.

    Parameters
    ----------
    colors : float32 (3, 3)
        Root of the colour covariance, from :func:`color_correlation`.
    magnitudes : float32 (3, S, S/2+1), optional
        Mean amplitude of the spectrum of decorrelated logits, from :func:`natural_palette`.
    middle : float32 (3,)
        Mean logit of the three colours.
    mean, std : float32 (3, 1, 1)
        The model's normalisation.
    """

    colors: Tensor
    mean: Tensor
    std: Tensor
    magnitudes: Tensor | None = None
    middle: Tensor | None = None

    def to(self, device: torch.device) -> Palette:
        """The same on another device, as tensors that gradients may flow past."""
        tensors = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: value.to(device).clone() for name, value in tensors.items()})


def natural_palette(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Estimate colours, mean amplitudes and mean colour from images of the audited dataset.

    Parameters
    ----------
    images : float (N, 3, S, S)
        In 0..1; a few hundred are enough.

    Returns
    -------
    colors : float32 (3, 3)
        Root of the colour covariance of the logits, of the Frobenius norm 1.
    magnitudes : float32 (3, S, S/2+1)
        Mean over the images of the modulus of the Fourier transform (``norm="ortho"``) of their
        decorrelated logits; 0 at frequency 0. Fel et al. 2023 hold it fixed.
    middle : float32 (3,)
        Mean logit of each colour.
    """
    logits = images.detach().cpu().double().clamp(_EDGE, 1 - _EDGE).logit()
    middle = logits.mean((0, 2, 3))
    colors = color_correlation(logits)
    centred = logits - middle[:, None, None]
    channels = torch.einsum("ij,njhw->nihw", torch.linalg.pinv(colors.double()), centred)
    magnitudes = torch.fft.rfft2(channels, norm="ortho").abs().mean(0)
    magnitudes[:, 0, 0] = 0
    return colors, magnitudes.float(), middle.float()


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
    frequency = _frequencies(size, spectra.device)
    scaled = torch.view_as_complex(spectra.contiguous()) / frequency.clamp_min(1 / size)
    channels = torch.fft.irfft2(scaled, s=(size, size), norm="ortho") / 4
    # The root has norm 1 as a whole; its first column alone had norm 1 when the 4 was chosen.
    return torch.einsum("ij,bjhw->bihw", colors / colors.norm(dim=0).max(), channels).sigmoid()


def natural_magnitudes(size: int, device: torch.device) -> Tensor:
    """Amplitudes ``(3, S, S/2+1)`` that fall with the frequency, as in photographs.

    Field 1987, "Relations between the statistics of natural images and the response properties of
    cortical cells". The three channels have a variance of 4.5 each, so colours one of 1.5.
    """
    frequency = _frequencies(size, device)
    magnitudes = torch.where(frequency > 0, 1 / frequency.clamp_min(1 / size), 0.0)
    variance = torch.fft.irfft2(magnitudes + 0j, s=(size, size), norm="ortho").square().mean()
    scaled: Tensor = magnitudes * (4.5 / variance).sqrt()
    return scaled.expand(3, -1, -1)


def _frequencies(size: int, device: torch.device) -> Tensor:
    down = torch.fft.fftfreq(size, device=device)[:, None]
    across = torch.fft.rfftfreq(size, device=device)
    frequency: Tensor = (down.square() + across.square()).sqrt()
    return frequency


def paint_phases(phases: Tensor, colors: Tensor, magnitudes: Tensor, middle: Tensor) -> Tensor:
    """Turn phases into pictures whose amplitudes are those of real photographs.

    Fel et al. 2023, "Unlocking feature visualization for deeper networks with magnitude
    constrained optimization".

    Parameters
    ----------
    phases : float32 (B, 3, S, S/2+1)
        In radians.
    colors, magnitudes, middle
        From :func:`natural_palette`.

    Returns
    -------
    float32 (B, 3, S, S)
        Strictly within 0..1.
    """
    size = phases.shape[2]
    channels = torch.fft.irfft2(
        torch.polar(magnitudes.expand_as(phases), phases), s=(size, size), norm="ortho"
    )
    return (torch.einsum("ij,bjhw->bihw", colors, channels) + middle[:, None, None]).sigmoid()


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
