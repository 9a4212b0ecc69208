"""The templates, stylesheets and script of the report, found wherever this package is installed."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import BaseLoader, PackageLoader


def loader() -> BaseLoader:
    """Return the loader of the packaged templates."""
    return PackageLoader("report_templates", package_path=".")


def text_of(name: str) -> str:
    """Return a packaged stylesheet or script."""
    return files("report_templates").joinpath(name).read_text(encoding="utf-8")


def catalogue(code: str) -> bytes:
    """Return the packaged catalogue of a language, as gettext writes it."""
    place = files("report_templates") / "locales" / code / "LC_MESSAGES" / "messages.po"
    return place.read_bytes()
