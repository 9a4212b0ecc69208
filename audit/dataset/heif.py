"""Photographs of telephones: HEIF, which Pillow reads through a plug-in only."""

from __future__ import annotations

import importlib

from audit.errors import SampleError

HEIF = ("HEIF",)
"""Pillow's name of the format, once the plug-in is there."""
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"heif", b"mif1", b"msf1")


def is_heif(content: bytes) -> bool:
    """Whether bytes begin as a HEIC picture does; AVIF, in the same container, does not count."""
    kind, brands = content[4:8], content[8:64]
    return kind == b"ftyp" and brands[:4] in _BRANDS and b"avif" not in brands


def register_heif() -> None:
    """Let Pillow know of the format.

    Raises
    ------
    SampleError
        The plug-in is not installed.
    """
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise SampleError(
            "NOT_AN_ALLOWED_IMAGE",
            "a HEIC picture: pip install 'saliency-audit[heif]' lets them be read; or convert it",
        ) from None
