"""The reports of a run where others can open them: any place that fsspec reaches."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import fsspec

from audit.findings import read_facts
from audit.manifest import ReportSection
from audit.pipeline.report import reports_of
from audit.pipeline.run_json import update_facts
from audit.report.page_limits import FOLDER
from audit.run_folder import RunFolder, file_slug
from audit.secrets import guarded, without_keys

_log = logging.getLogger(__name__)


def address_at(place: str, audit: str, run: RunFolder) -> str:
    """Where a run lies below a place: each audit has a folder of its own, each run one in that."""
    return f"{place.rstrip('/')}/{file_slug(audit)}/{run.path.name}"


def unreachable_because(place: str | None) -> str:
    """Why nothing can be published there on this computer; "" where it may. Nobody is called."""
    try:
        if place is not None:
            fsspec.get_filesystem_class(place.partition("://")[0])
    except (ImportError, ValueError) as error:
        return guarded(str(error))
    return ""


def publish(run: RunFolder, audit: str, place: str) -> bool:
    """Copy reports, exports and the tables of findings below a place.

    A place that does not answer costs the copy and no work: the log and ``run.json`` say so.

    Parameters
    ----------
    run : RunFolder
        Finished.
    audit : str
        Its name.
    place : str
        An address of fsspec, such as ``s3://bucket/audits`` or ``file:///srv/audits``.

    Returns
    -------
    bool
        Whether they lie there now.
    """
    address = address_at(place, audit, run)
    try:
        system, root = fsspec.core.url_to_fs(address)
        for path in _published(run):
            target = f"{root}/{path.relative_to(run.path).as_posix()}"
            # A store of objects has no folders; asked for one, it makes a missing bucket.
            if target.startswith("/"):
                system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(path), target)
    # Whatever a file system of others raises, the run has done its work.
    except Exception as error:
        said = guarded(f"{type(error).__name__}: {error}")
        _log.warning("The reports were not published to %s (%s)", guarded(place), said)
        update_facts(run, published=None, publish_error=said[:500])
        return False
    update_facts(run, published=guarded(address), publish_error=None)
    return True


def address_of(path: Path, run: RunFolder, settings: ReportSection) -> str:
    """Where a file of a run can be opened; "" where nobody but this computer can.

    Parameters
    ----------
    path : Path
        In the run folder.
    run : RunFolder
        Finished.
    settings : ReportSection
        What was published is open below ``public_url``, or else where it was published; what was
        not, below ``public_url`` by the folder's own name.
    """
    facts = read_facts(run.run_json)
    if facts.published is None:
        held = f"{settings.public_url.rstrip('/')}/{run.path.name}" if settings.public_url else ""
    else:
        held = address_at(settings.public_url or settings.publish or "", facts.name, run)
    return f"{without_keys(held)}/{path.name}" if held else ""


def report_address(run: RunFolder, settings: ReportSection) -> str:
    """Where the report of a run can be opened, of several forms the first; "" where nobody can."""
    reports = reports_of(run)
    return address_of(reports[0], run, settings) if reports else ""


def _published(run: RunFolder) -> Iterator[Path]:
    """The files, the page's own pictures among them; a dataset for FiftyOne stays where it is."""
    yield from (path for path in reports_of(run) if path.is_file())
    yield from (path for path in (run.findings, run.classes_csv) if path.exists())
    pictures = run.path / FOLDER
    yield from (path for path in sorted(pictures.rglob("*")) if path.is_file())
