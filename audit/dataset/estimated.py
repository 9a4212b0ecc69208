"""Foregrounds that a network has estimated: read from the outlines that were made ahead.

No decoding child opens the network: :mod:`audit.pipeline.outlines` asks it for all images before
the first shard, in batches and on the GPU where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from audit.dataset.outline_store import OutlineStore
from audit.dataset.outlines import Outline
from audit.dataset.samples import Sample
from audit.errors import ManifestError, SampleError

THRESHOLD = 0.5
SECOND_THRESHOLD = 0.2
"""Of the second outline, where no second estimator is named: a more generous hand."""


def estimated(
    sample: Sample,
    *,
    size: tuple[int, int],
    digest: str,
    outlines: OutlineStore | None = None,
    estimator: str | Mapping[str, object] = "u2netp",
    threshold: float = THRESHOLD,
    second_threshold: float = SECOND_THRESHOLD,
    reference: Mapping[str, object] | None = None,
) -> Outline | None:
    """Take the object's outline from a network that was trained to find objects.

    Parameters
    ----------
    sample : Sample
        What is outlined.
    size : (H0, W0)
        Of its upright image.
    digest : str
        Sha256 of the image's bytes.
    outlines : OutlineStore, optional
        Where the outlines lie.
    estimator : str or mapping
        Which network: ``u2netp``, the name of any session of rembg, a file ``path.onnx``,
        ``"package.module:function"``; or a mapping with one of the keys ``name``, ``onnx``,
        ``function``, ``torchvision`` and the options of that one.
    threshold : float
        Of the estimate, 0..1, from which a pixel is the object.
    second_threshold : float
        From which a pixel is the object in the second outline, where the manifest names no second
        estimator.
    reference : mapping, optional
        Masks by hand that exist for some of the images, written like a section ``foreground``:
        the report then says how well estimates and masks agree.

    Raises
    ------
    SampleError
        No outline was made of this image.
    """
    found = outlines.get(digest) if outlines else None
    if found is None:
        raise SampleError("OUTLINE_NOT_MADE", "the estimator was not asked for this image")
    height, width = size
    grey = Image.fromarray(np.rint(found * 255).astype(np.uint8))
    drawn = np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR))
    return Outline(drawn >= max(1, round(threshold * 255)), has_own_size=False)


def check_estimated_options(options: Mapping[str, object]) -> None:
    """Refuse options of :func:`estimated` that cannot be, before any network is opened.

    Raises
    ------
    ManifestError
        Naming the option, what was expected and what was found.
    """
    for name in ("threshold", "second_threshold"):
        value = options.get(name, 0.5)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise ManifestError(
                f"foreground.{name}: expected a number between 0 and 1, found {value!r}"
            )
    if "drawn_on" in options:
        raise ManifestError(
            "foreground.drawn_on: estimates are drawn on the upright picture; leave it out"
        )
    if "outlines" in options:
        raise ManifestError("foreground.outlines: unknown option; leave it out")
    reference = options.get("reference")
    if reference is not None and (
        not isinstance(reference, Mapping) or not isinstance(reference.get("source"), str)
    ):
        raise ManifestError(
            "foreground.reference: expected a mapping such as {source: mask_file, root: masks}, "
            f"found {reference!r}"
        )
