"""Pictures of a run folder, made small and safe to put into a page."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from audit.errors import AuditError, ReportError
from audit.report.overlays import legend, to_png

FORMATS = ("PNG", "JPEG", "WEBP")
PIXELS_ALLOWED = 32_000_000
BYTES_ALLOWED = 64 * 1024 * 1024
JPEG_QUALITY = 84


@dataclass(frozen=True)
class Picture:
    """An encoded picture.

    Parameters
    ----------
    content : bytes
        JPEG or PNG, encoded here: nothing of the file's own metadata is left.
    media_type : str
        Of `content`.
    width, height : int
        In pixels.
    """

    content: bytes = field(repr=False)
    media_type: str
    width: int
    height: int

    @property
    def data_uri(self) -> str:
        """The picture as an address that needs no file."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"

    @property
    def asset_name(self) -> str:
        """The picture's name in the in-memory table that the PDF is drawn from."""
        return f"asset:{hashlib.sha256(self.content).hexdigest()}"


def load_picture(run_folder: Path, relative: str, side: int) -> Picture:
    """Read one picture of the run and make it at most `side` pixels wide and high.

    Parameters
    ----------
    run_folder : Path
        The only folder that pictures may come from.
    relative : str
        As ``findings.json`` names it, with forward slashes.
    side : int
        Longest side of the result in pixels.

    Raises
    ------
    ReportError
        It lies elsewhere (by ``..`` or by a link), is missing, too large, or no picture.
    """
    path = inside(run_folder, relative)
    opened = open_picture(path, PurePosixPath(relative).as_posix(), ReportError)
    pixels = opened.convert("RGB")
    pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    pixels.save(buffer, format="JPEG", quality=JPEG_QUALITY, optimize=True, subsampling=0)
    return Picture(buffer.getvalue(), "image/jpeg", pixels.width, pixels.height)


def open_picture(path: Path, shown: str, kind: type[AuditError]) -> Image.Image:
    """Decode a picture within bounds.

    Parameters
    ----------
    path : Path
        Of a PNG, JPEG or WebP.
    shown : str
        What to call it in a message.
    kind : type
        Of the error to raise.

    Raises
    ------
    AuditError
        Of the given kind: missing, too large, or no picture.
    """
    try:
        if path.exists() and not path.is_file():
            # A pipe or a device would keep whoever opens it.
            raise kind(f"{shown}: expected a picture, found no regular file")
        if path.stat().st_size > BYTES_ALLOWED:
            raise kind(f"{shown}: more than {BYTES_ALLOWED:,} bytes for one picture")
        with Image.open(path, formats=FORMATS) as opened:
            if opened.width * opened.height > PIXELS_ALLOWED:
                raise kind(
                    f"{shown}: {opened.width} x {opened.height} pixels; "
                    f"at most {PIXELS_ALLOWED:,} are shown"
                )
            opened.load()
            return opened.copy()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise kind(
            f"{shown}: the report needs this picture and cannot read it "
            f"({type(error).__name__}). Expected PNG, JPEG or WebP."
        ) from error


def inside(run_folder: Path, relative: str) -> Path:
    """Resolve a path and show that it lies in the run folder.

    Raises
    ------
    ReportError
        It lies elsewhere (by ``..`` or by a link), or is missing.
    """
    root = run_folder.resolve()
    try:
        path = (root / relative).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise ReportError("the run folder names a picture by an impossible path") from error
    if not relative or not path.is_relative_to(root) or path == root:
        raise ReportError("the run folder names a picture outside itself; it is not shown")
    if not path.is_file():
        raise ReportError(
            f"{path.relative_to(root).as_posix()}: the report needs this picture and it is missing"
        )
    return path


def legend_picture() -> Picture:
    """The strip of saliency colours."""
    strip = legend(240, 10)
    return Picture(to_png(strip), "image/png", 240, 10)
