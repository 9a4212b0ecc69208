"""A run folder becomes a :class:`ReportContext`: its record read once, cleaned, with pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from audit.findings import (
    ClassFinding,
    CmvEntry,
    Findings,
    Repair,
    RunFacts,
    read_facts,
    read_findings,
    read_repair,
)
from audit.report.i18n import gettext
from audit.report.page_limits import (
    CHANGED,
    CLUSTERS,
    CROPS,
    DONORS,
    EXHIBITS,
    shown_in_full,
    shown_in_part,
)
from audit.report.pictures import Picture, legend_picture, load_picture
from audit.report.problems import Problems, read_problems
from audit.report.untrusted import clean_text, cleaned

EXHIBIT_SIDE, SMALL_SIDE, CMV_SIDE, THUMBNAIL_SIDE = 300, 160, 240, 96
STRIP_SIDE, CROP_SIDE, DONOR_SIDE, CONTRAST_SIDE = 480, 120, 160, 240
_RECIPES = ("robust", "maco", "simonyan")
_OBJECTIVES = ("logit", "softmax", "contrast", "diversity")


@dataclass(frozen=True)
class ReportContext:
    """One report: the record of a run with its pictures.

    Parameters
    ----------
    record, facts : Findings, RunFacts
        Every text in them is clean.
    problems : Problems
        Of ``problems.csv``.
    title : str
        The owner's, or one in the language of the report.
    pictures, thumbnails : mapping of str to Picture
        By the paths that the record names: as large as they are shown, and small for the sheet of
        class model visualizations. A picture that no page shows is not here.
    legend : Picture
        The colours of saliency.
    repair : Repair or None
        What was refitted, where the run proves it.
    """

    record: Findings
    facts: RunFacts
    problems: Problems
    title: str
    legend: Picture
    pictures: Mapping[str, Picture] = field(default_factory=dict, repr=False)
    thumbnails: Mapping[str, Picture] = field(default_factory=dict, repr=False)
    repair: Repair | None = None


def load_context(run_folder: Path) -> ReportContext:
    """Read all that the report says from a run folder.

    Parameters
    ----------
    run_folder : Path
        With ``run.json``, ``findings.json`` and the pictures that it names.

    Raises
    ------
    RunFolderError
        A file is missing or not as this version writes it.
    ReportError
        A picture that must be shown is missing, or lies elsewhere.
    """
    record = _ordered(cleaned(read_findings(run_folder / "findings.json")))
    facts = cleaned(read_facts(run_folder / "run.json"))
    name = record.audit.name or facts.name or "audit"
    loader = _Loader(run_folder)
    for finding in shown_in_full(record):
        loader.load_all(finding)
    for finding in shown_in_part(record):
        loader.load_some(finding, EXHIBITS if not record.foreground_quality.given else 1)
    for finding in record.findings:
        loader.load_thumbnails(finding)
    repair = read_repair(run_folder / "repair.json")
    repair = None if repair is None else cleaned(repair)
    for change in repair.changed[:CHANGED] if repair else ():
        loader.add(change.path, DONOR_SIDE)
    return ReportContext(
        record=record,
        repair=repair,
        facts=facts,
        problems=read_problems(run_folder / "problems.csv"),
        title=_title(record.audit.title, name),
        legend=legend_picture(),
        pictures=loader.pictures,
        thumbnails=loader.thumbnails,
    )


def _title(given: str | None, name: str) -> str:
    """The owner's title as it stands; what stands for none, in the language of the report."""
    return given or clean_text(gettext("Saliency audit: %(name)s", name=name), 200)


def _ordered(record: Findings) -> Findings:
    """The classes by urgency, and of each the class model visualizations in their order.

    Where no background could be exchanged, what the model gets wrong most comes first.
    """
    given = record.foreground_quality.given
    findings = sorted(record.findings, key=_urgency if given else _errors)
    ordered = [f.model_copy(update={"cmv": tuple(sorted(f.cmv, key=_place))}) for f in findings]
    return record.model_copy(update={"findings": tuple(ordered)})


def _urgency(finding: ClassFinding) -> int:
    return finding.verdict.urgency


def _errors(finding: ClassFinding) -> float:
    return 2.0 if finding.recall is None else finding.recall


def _place(panel: CmvEntry) -> tuple[int, int, int]:
    return (
        _RECIPES.index(panel.recipe) if panel.recipe in _RECIPES else len(_RECIPES),
        _OBJECTIVES.index(panel.objective) if panel.objective in _OBJECTIVES else len(_OBJECTIVES),
        panel.variant,
    )


def thumbnails_of(finding: ClassFinding) -> tuple[CmvEntry, ...]:
    """The first picture of a class, and that of its softmax beside it."""
    first = finding.cmv[:1]
    beside = [
        panel
        for panel in finding.cmv[1:]
        if panel.recipe == first[0].recipe and panel.objective == "softmax"
    ]
    return (*first, *beside[:1])


@dataclass
class _Loader:
    """Loads the pictures that some page shows, each as large as it is shown."""

    run_folder: Path
    pictures: dict[str, Picture] = field(default_factory=dict)
    thumbnails: dict[str, Picture] = field(default_factory=dict)

    def load_all(self, finding: ClassFinding) -> None:
        self._exhibits(finding, EXHIBITS, EXHIBIT_SIDE)
        if finding.mean_map is not None:
            self.add(finding.mean_map.path, EXHIBIT_SIDE)
        for panel in finding.cmv:
            self.add(panel.path, CMV_SIDE)
        for panel in finding.cmv[:1]:
            self.add(panel.strip, STRIP_SIDE)
        if finding.cues is None:
            return
        for cluster in finding.cues.clusters[:CLUSTERS]:
            for crop in cluster.crops[:CROPS]:
                self.add(crop.path, CROP_SIDE)
        for donor in finding.cues.donors.shown[:DONORS]:
            self.add(donor.path, DONOR_SIDE)
        maps = finding.cues.contrast_maps
        if maps is not None:
            for path in (maps.image, maps.towards, maps.away):
                self.add(path, CONTRAST_SIDE)

    def load_some(self, finding: ClassFinding, exhibits: int) -> None:
        self._exhibits(finding, exhibits, SMALL_SIDE)

    def load_thumbnails(self, finding: ClassFinding) -> None:
        for panel in thumbnails_of(finding):
            self.thumbnails[panel.path] = load_picture(self.run_folder, panel.path, THUMBNAIL_SIDE)

    def _exhibits(self, finding: ClassFinding, count: int, side: int) -> None:
        for exhibit in finding.exhibits[:count]:
            drawn = exhibit.pictures
            for path in (drawn.image, drawn.overlay, drawn.outline, drawn.swap, drawn.swap_map):
                self.add(path, side)

    def add(self, path: str | None, side: int) -> None:
        if path is not None:
            self.pictures[path] = load_picture(self.run_folder, path, side)
