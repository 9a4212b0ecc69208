"""The templates and stylesheets of the report, found wherever this package is installed."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import BaseLoader, PackageLoader


def loader() -> BaseLoader:
    """Return the loader of the packaged templates."""
    return PackageLoader("report_templates", package_path=".")


def stylesheet(name: str) -> str:
    """Return the text of a packaged stylesheet."""
    return files("report_templates").joinpath(name).read_text(encoding="utf-8")
