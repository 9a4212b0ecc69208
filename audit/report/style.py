"""What a report looks like: logo, accent, paper, audience, and a user's own templates.

Logo and templates lie beside the manifest; copies go into the run folder, checked and encoded
anew, so that ``report RUN_DIR`` needs nothing else, and no byte of a foreign file is shown as is.
A run folder may come from somebody else: its copy of a logo is decoded like any foreign picture,
and its templates are read only where somebody says that they may be trusted.
"""

from __future__ import annotations

import io
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError
from PIL import Image

from audit.colours import READABLE, contrast
from audit.errors import AuditError, ManifestError, ReportError
from audit.manifest import Manifest, ReportSection
from audit.report.pictures import Picture, inside, open_picture
from audit.writing import write_bytes

FOLDER = "theme"
_LOG = logging.getLogger("audit.report")
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
        For those who decide: without indicators, masses and the table of all numbers.
    accent, accent_dark : str, optional
        ``#rrggbb``, readable on white and on the dark page.
    logo : Picture, optional
        Small, as PNG.
    templates : mapping of str to str
        Partials that are taken before ours: name and text, and no path that a template could use.
    max_bytes : int
        Of ``report.html``; what is more lies beside it.
    """

    paper: str = "A4"
    brief: bool = False
    accent: str | None = None
    accent_dark: str | None = None
    logo: Picture | None = None
    templates: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_bytes: int = 3_000_000


def read_style(
    run_folder: Path, settings: ReportSection, *, trust_templates: bool = False
) -> ReportStyle:
    """Read how a run's report is dressed: its manifest's words, and the copies in its folder.

    Parameters
    ----------
    run_folder : Path
        Maybe somebody else's.
    settings : ReportSection
        Of the manifest.
    trust_templates : bool
        Whether the templates in the folder may be read.

    Raises
    ------
    ReportError
        The logo is missing, lies elsewhere (a link), or is no picture.
    ManifestError
        Templates that may be read are none.
    """
    logo = None
    if settings.logo is not None:
        content = _encoded(inside(run_folder, f"{FOLDER}/logo.png"), ReportError)
        with Image.open(io.BytesIO(content), formats=("PNG",)) as opened:
            width, height = opened.size
        logo = Picture(content, "image/png", width, height)
    templates: dict[str, str] = {}
    if settings.templates is not None and not trust_templates:
        _LOG.warning(
            "The templates in the run folder were not used. If they are yours: --trust-templates."
        )
    if trust_templates and settings.templates is not None:
        texts = _templates(run_folder / FOLDER / "templates")
        templates = {name: text.decode() for name, text in texts.items()}
    return ReportStyle(
        paper=settings.paper,
        brief=settings.audience == "executive",
        accent=settings.accent,
        accent_dark=lightened(settings.accent) if settings.accent else None,
        logo=logo,
        templates=templates,
        max_bytes=round(settings.max_html_mb * 1e6),
    )


def lightened(colour: str) -> str:
    """Mix a colour with white until it can be read on a dark ground.

    Examples
    --------
    >>> lightened("#ffffff"), lightened("#000000")
    ('#ffffff', '#808080')
    """
    channels = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    for step in range(21):
        mixed = [round(c + (255 - c) * step / 20) for c in channels]
        shown = "#{:02x}{:02x}{:02x}".format(*mixed)
        if contrast(shown, DARK_PAPER) >= READABLE:
            return shown
    return "#ffffff"


def keep_style(run_folder: Path, manifest: Manifest) -> None:
    """Copy the logo and the templates of a manifest of one's own into the run folder.

    Raises
    ------
    ManifestError
        A file is missing, too large, no raster picture, or no template.
    ReportError
        The run folder leads elsewhere.
    """
    style, report = run_folder / FOLDER, manifest.report
    if style.is_symlink():
        raise ReportError(f"{FOLDER}: expected a folder in the run folder, found a link")
    if report.logo is not None:
        write_bytes(style / "logo.png", _encoded(manifest.path(report.logo, "report.logo")))
    if report.templates is not None:
        _copy_templates(manifest.path(report.templates, "report.templates"), style / "templates")


def check_style(manifest: Manifest) -> None:
    """Find what is wrong with logo and templates before any work begins; writes nothing."""
    if manifest.report.logo is not None:
        _encoded(manifest.path(manifest.report.logo, "report.logo"))
    if manifest.report.templates is not None:
        _templates(manifest.path(manifest.report.templates, "report.templates"))


def _encoded(path: Path, kind: type[AuditError] = ManifestError) -> bytes:
    """A logo on white, small enough for a masthead, without the file's own metadata."""
    opened = open_picture(path, "report.logo", kind)
    pixels = opened.convert("RGBA")
    ground = Image.new("RGBA", pixels.size, "white")
    # On white: a dark logo on nothing would be lost on a dark page.
    flat = Image.alpha_composite(ground, pixels).convert("RGB")
    flat.thumbnail(LOGO_SIZE, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    flat.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _templates(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir() or folder.is_symlink():
        raise ManifestError(f"report.templates: expected a folder, found none at {folder.name!r}")
    texts: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        if not _TEMPLATE_NAME.fullmatch(path.name):
            continue
        if path.is_symlink() or not path.is_file():
            raise ManifestError(
                f"report.templates: {path.name}: expected a regular file, found a link or a device"
            )
        if len(texts) == TEMPLATES_ALLOWED or path.stat().st_size > TEMPLATE_BYTES:
            raise ManifestError(
                f"report.templates: {path.name}: expected at most {TEMPLATES_ALLOWED} files of "
                f"at most {TEMPLATE_BYTES:,} bytes each"
            )
        texts[path.name] = path.read_bytes()
        try:
            Environment(autoescape=True).parse(texts[path.name].decode())
        except (TemplateSyntaxError, UnicodeDecodeError) as error:
            where = f", line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
            raise ManifestError(f"report.templates: {path.name}{where}: {error}") from error
    if not texts:
        raise ManifestError(
            "report.templates: expected partials such as _masthead.html.j2 (named as those in "
            f"report_templates), found none in {folder.name!r}"
        )
    return texts


def _copy_templates(source: Path, target: Path) -> None:
    texts = _templates(source)
    shutil.rmtree(target, ignore_errors=True)
    for name, content in texts.items():
        write_bytes(target / name, content)
