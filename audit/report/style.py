"""What a report looks like: logo, accent, paper, audience, and a user's own templates.

Logo and templates lie beside the manifest; copies go into the run folder, checked and encoded
anew, so that ``report RUN_DIR`` needs nothing else, and no byte of a foreign file is shown as is.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError
from PIL import Image

from audit.colours import READABLE, contrast
from audit.errors import ManifestError
from audit.manifest import Manifest, ReportSection
from audit.report.i18n import say
from audit.report.pictures import Picture, open_picture
from audit.run_folder import write_bytes, write_json

FOLDER = "theme"
LOGO_SIZE = (640, 160)
TEMPLATES_ALLOWED, TEMPLATE_BYTES = 64, 256 * 1024
DARK_PAPER = "#15181d"
_TEMPLATE_NAME = re.compile(r"_[a-z][a-z0-9_]*\.html\.j2")


@dataclass(frozen=True)
class ReportStyle:
    """How one report is dressed.

    Parameters
    ----------
    paper : str
        ``A4`` or ``Letter``.
    brief : bool
        For those who decide: without witnesses, masses and the table of all numbers.
    accent, accent_dark : str, optional
        ``#rrggbb``, readable on white and on the dark page.
    logo : Picture, optional
        Small, as PNG.
    templates : Path, optional
        A folder whose partials are taken before ours.
    max_bytes : int
        Of ``report.html``; what is more lies beside it.
    """

    paper: str = "A4"
    brief: bool = False
    accent: str | None = None
    accent_dark: str | None = None
    logo: Picture | None = None
    templates: Path | None = None
    max_bytes: int = 3_000_000


def read_style(run_folder: Path, settings: ReportSection) -> ReportStyle:
    """Read how a run's report is dressed: its manifest's words, and the copies in its folder."""
    theme = run_folder / FOLDER
    logo = None
    if settings.logo is not None:
        content = (theme / "logo.png").read_bytes()
        with Image.open(io.BytesIO(content), formats=("PNG",)) as opened:
            width, height = opened.size
        logo = Picture(content, "image/png", width, height, say("Logo"))
    return ReportStyle(
        paper=settings.paper,
        brief=settings.audience == "executive",
        accent=settings.accent,
        accent_dark=lightened(settings.accent) if settings.accent else None,
        logo=logo,
        templates=theme / "templates" if settings.templates else None,
        max_bytes=round(settings.max_html_mb * 1e6),
    )


def lightened(colour: str, ground: str = DARK_PAPER) -> str:
    """Mix a colour with white until it can be read on a dark ground.

    Examples
    --------
    >>> lightened("#ffffff"), lightened("#000000")
    ('#ffffff', '#808080')
    """
    channels = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    for step in range(21):
        mixed = [round(c + (255 - c) * step / 20) for c in channels]
        shown = "#{:02x}{:02x}{:02x}".format(*mixed)
        if contrast(shown, ground) >= READABLE:
            return shown
    return "#ffffff"


def keep_style(run_folder: Path, manifest: Manifest) -> None:
    """Copy logo and templates into the run folder; what an earlier run copied is kept.

    Raises
    ------
    ManifestError
        A file is missing, too large, no raster picture, or no template.
    """
    theme, report = run_folder / FOLDER, manifest.report
    index = theme / "index.json"
    before = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    named = {"logo": report.logo, "templates": report.templates}
    copied = dict(before)
    for key, written in named.items():
        if written is None:
            continue
        source = manifest.path(written)
        # A manifest that was copied into the run folder has left its files behind.
        if not source.exists() and before.get(key) == written:
            continue
        if key == "logo":
            write_bytes(theme / "logo.png", _encoded(source))
        else:
            _copy_templates(source, theme / "templates")
        copied[key] = written
    if copied != before:
        write_json(index, copied)


def check_style(manifest: Manifest) -> None:
    """Find what is wrong with logo and templates before any work begins; writes nothing."""
    if manifest.report.logo is not None:
        _encoded(manifest.path(manifest.report.logo))
    if manifest.report.templates is not None:
        _templates(manifest.path(manifest.report.templates))


def _encoded(path: Path) -> bytes:
    """A logo on white, small enough for a masthead, without the file's own metadata."""
    opened = open_picture(path, "report.logo", ManifestError)
    pixels = opened.convert("RGBA")
    ground = Image.new("RGBA", pixels.size, "white")
    # On white: a dark logo on nothing would be lost on a dark page.
    flat = Image.alpha_composite(ground, pixels).convert("RGB")
    flat.thumbnail(LOGO_SIZE, Image.Resampling.LANCZOS)
    held = io.BytesIO()
    flat.save(held, format="PNG", optimize=True)
    return held.getvalue()


def _templates(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise ManifestError(f"report.templates: expected a folder, found none at {folder.name!r}")
    held: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        if not _TEMPLATE_NAME.fullmatch(path.name):
            continue
        if len(held) == TEMPLATES_ALLOWED or path.stat().st_size > TEMPLATE_BYTES:
            raise ManifestError(
                f"report.templates: {path.name}: expected at most {TEMPLATES_ALLOWED} files of "
                f"at most {TEMPLATE_BYTES:,} bytes each"
            )
        held[path.name] = path.read_bytes()
        try:
            Environment(autoescape=True).parse(held[path.name].decode())
        except (TemplateSyntaxError, UnicodeDecodeError) as error:
            place = f", line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
            raise ManifestError(f"report.templates: {path.name}{place}: {error}") from error
    if not held:
        raise ManifestError(
            "report.templates: expected partials such as _masthead.html.j2 (named as those in "
            f"report_templates), found none in {folder.name!r}"
        )
    return held


def _copy_templates(source: Path, target: Path) -> None:
    held = _templates(source)
    shutil.rmtree(target, ignore_errors=True)
    for name, content in held.items():
        write_bytes(target / name, content)
