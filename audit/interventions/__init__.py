"""What is replaced by what, and what the class score does: the experiment behind a verdict.

The object is kept and its background is exchanged for that of another image. A background of the
*same* class is the control: it carries every artefact of pasting, but not another class's scene.
What the model loses on a background of *another* class beyond that, it owed to the background.
(Backgrounds Challenge: Xiao et al. 2021, "Noise or signal".)
"""

from __future__ import annotations

from audit.interventions.compositing import (
    NOISE,
    PATCHES,
    feather,
    noise_of,
    object_only,
    paste,
    shuffle_patches,
    with_noise,
)
from audit.interventions.fills import FILLS, smooth_fill
from audit.interventions.masks import boundary_band, dilate, removal_mask, removal_radius

__all__ = [
    "FILLS",
    "NOISE",
    "PATCHES",
    "boundary_band",
    "dilate",
    "feather",
    "noise_of",
    "object_only",
    "paste",
    "removal_mask",
    "removal_radius",
    "shuffle_patches",
    "smooth_fill",
    "with_noise",
]
