"""Thin Prefect tasks: read a reference, take one step of the audit, write, return a small fact.

Nothing but names and paths crosses a task. The run folder is the record of what is done, so
Prefect's own caching and result storage stay off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from audit.cancellation import stop_if_asked
from audit.manifest import load_manifest
from audit.pipeline import decide as deciding
from audit.pipeline import exhibits, measure
from audit.pipeline import prepare as preparing
from audit.pipeline.mean_maps import average_maps
from audit.pipeline.session import AuditRequest, open_session
from audit.report.render import render_report
from audit.run_folder import RunFolder
from flows.progress import reporter

_OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@task(name="prepare", **_OPTIONS)
def prepare(request: AuditRequest, resume: bool) -> int:
    """Check everything, freeze the list of samples; returns the number of shards."""
    return preparing.prepare(request, resume=resume)


@task(name="gather-donors", **_OPTIONS)
def gather_donors(request: AuditRequest) -> None:
    """Cut the objects out of some images of each class: the backgrounds that swaps use."""
    with reporter.step("donors"):
        measure.gather_donors(request)


@task(name="score-shard", task_run_name="score-shard-{shard}", **_OPTIONS)
def score_shard(request: AuditRequest, shard: int) -> State[bool] | bool:
    """Score one shard; a finished one is never computed twice."""
    session = open_session(request)
    size = session.manifest.run.shard_size
    rows = max(1, len(session.table.iloc[shard * size : (shard + 1) * size]))
    artifact = create_progress_artifact(0.0, description=f"Images of shard {shard}")
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        stop_if_asked()
        before, done = done, done + count
        reporter.advance("scores", count)
        # A call to the server costs milliseconds: once in a tenth of the shard is enough.
        if done * 10 // rows > before * 10 // rows:
            update_progress_artifact(artifact, min(100.0, 100 * done / rows))  # type: ignore[arg-type]

    if measure.score(request, shard, advance):
        return True
    return Completed(name="AlreadyDone", message="This shard was finished by an earlier run.")


@task(name="gather-scores", **_OPTIONS)
def gather_scores(request: AuditRequest) -> dict[str, int]:
    """Join the parts; list every problem."""
    return measure.gather_scores(request)


@task(name="look-again", **_OPTIONS)
def look_again(request: AuditRequest) -> int:
    """Measure with fresh donors where the first pass leaves a doubt."""
    with reporter.step("second look"):
        return measure.look_again(request)


@task(name="check-itself", **_OPTIONS)
def check_itself(request: AuditRequest) -> bool:
    """Plant a tag that the audit must find; make maps of a network that learned nothing."""
    with reporter.step("controls"):
        return measure.check_itself(request)


@task(name="decide", **_OPTIONS)
def decide(request: AuditRequest) -> dict[str, Any]:
    """Give each class its verdict, with intervals and false-discovery control."""
    manifest = load_manifest(request.manifest, request.overrides)
    return deciding.decide_classes(request.run, manifest)


@task(name="draw-exhibits", **_OPTIONS)
def draw_exhibits(request: AuditRequest) -> int:
    """Draw the samples that the report shows."""
    with reporter.step("exhibits"):
        drawn = exhibits.draw_exhibits(request)
        with measure.timed(request.run, "mean maps"):
            average_maps(open_session(request), deciding.read_findings(request.run)["findings"])
        return drawn


@task(name="find-cues", **_OPTIONS)
def find_cues(request: AuditRequest) -> int:
    """Look for what in the background the suspect classes lean on."""
    with reporter.step("cues"):
        return exhibits.find_cues(request)


@task(name="visualize-classes", **_OPTIONS)
def visualize_classes(request: AuditRequest) -> int:
    """Make the class model visualizations."""
    return exhibits.visualize(request, lambda count: reporter.advance("cmv", count))


@task(name="report", **_OPTIONS)
def report(request: AuditRequest) -> list[str]:
    """Render the report and show the findings in Prefect."""
    run, settings = request.run, load_manifest(request.manifest, request.overrides).report
    deciding.compose(run)
    with reporter.step("report"), measure.timed(run, "report"):
        written = render_report(run.path, settings.formats, settings)
    _show(run, [str(path) for path in written.values()])
    return [str(path) for path in written.values()]


def _show(run: RunFolder, reports: list[str]) -> None:
    """Findings as a table, summary as text, reports as links, on the run's page in Prefect."""
    findings = deciding.read_findings(run)
    create_table_artifact(
        key="findings",
        table=[
            {
                "class": f["label_name"],
                "verdict": f["verdict"],
                "kind": f["kind"],
                "gap": f["background_gap"],
                "images": f["images"],
                "why": f["reasons"][0] if f["reasons"] else "",
            }
            for f in findings["findings"][:200]
        ],
        description="One row a class, the most urgent first.",
    )
    summary = findings["summary"]
    create_markdown_artifact(
        key="summary",
        markdown=", ".join(
            f"**{summary[word]}** {word}" for word in ("suspect", "watch", "inconclusive", "clear")
        ),
    )
    for path in map(Path, reports):
        create_link_artifact(
            key=path.name.replace(".", "-"), link=path.as_uri(), link_text=path.name
        )
