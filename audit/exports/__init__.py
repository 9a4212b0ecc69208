"""Findings where people look already: test results, code scanning, bills of material."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from audit.exports.cyclonedx import cyclonedx
from audit.exports.junit import junit
from audit.exports.sarif import sarif
from audit.findings import Findings, RunFacts


@dataclass(frozen=True)
class Export:
    """A format: the name of its file, and the function that fills it."""

    file: str
    content: Callable[[Findings, RunFacts], bytes]


EXPORTS: Mapping[str, Export] = {
    "junit": Export("junit.xml", junit),
    "sarif": Export("findings.sarif", sarif),
    "cyclonedx": Export("bom.cdx.json", cyclonedx),
}
"""The manifest's ``report.formats``, beside ``html`` and ``pdf``."""
