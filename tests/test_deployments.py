"""What Prefect is told: deployments, the form of a run, artifacts, and what is tried again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import yaml
from planted_history import CLASSES, run, write_night
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint

from audit.errors import AuditError, ManifestError
from audit.manifest import ReportSection
from audit.pipeline.orders import Order
from audit.run_folder import RunFolder
from flows import outcome, tasks
from flows.audit_dataset import audit_dataset
from flows.deployments import ENTRYPOINT, deployment_file, serve_audit, write_deployment

MANIFEST = "name: Farm animals\ndataset: {root: images}\nmodel: {loader: 'a:b'}\n"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "audit.yaml"
    path.write_text(MANIFEST)
    return path


def test_a_deployment_says_what_when_and_one_at_a_time(manifest: Path) -> None:
    order = Order(str(manifest), "0 2 * * 1", "Europe/Berlin", limit=5, gate="new")
    held = yaml.safe_load(deployment_file(order, "audits"))
    (deployment,) = held["deployments"]
    assert deployment["name"] == "farm-animals"
    assert deployment["schedules"] == [{"cron": "0 2 * * 1", "timezone": "Europe/Berlin"}]
    assert deployment["concurrency_limit"] == 1
    assert deployment["work_pool"] == {"name": "audits"}
    assert deployment["parameters"] == {
        "manifest": str(manifest),
        "device": "auto",
        "overrides": [],
        # It does not hang on where a worker was started.
        "runs": str(manifest.parent / "runs"),
        "limit": 5,
        "gate": "new",
    }
    assert load_flow_from_entrypoint(ENTRYPOINT).name == audit_dataset.name
    audit_dataset.validate_parameters(deployment["parameters"])


def test_what_cannot_be_is_said_before_anything_is_written(manifest: Path, tmp_path: Path) -> None:
    for more, said in (
        ({"cron": "0 2"}, "--cron: expected five fields"),
        ({"cron": "61 2 * * 1"}, "is no schedule"),
        ({"cron": "0 2 * * 1", "timezone": "Mars/Olympus"}, "is no schedule"),
        ({"gate": "often"}, "gate: expected"),
    ):
        with pytest.raises(ManifestError, match=said):
            write_deployment(Order(str(manifest), **more), "audits", tmp_path / "prefect.yaml")
    (tmp_path / "prefect.yaml").write_text("somebody's")
    with pytest.raises(ManifestError, match="exists already"):
        write_deployment(Order(str(manifest)), "audits", tmp_path / "prefect.yaml")
    assert (tmp_path / "prefect.yaml").read_text() == "somebody's"


def in_a_process_of_its_own(program: str, *arguments: str, folder: Path) -> str:
    """What a program prints that begins with nothing imported."""
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_a_served_run_finds_its_flow_and_takes_its_parameters(
    monkeypatch: pytest.MonkeyPatch, manifest: Path
) -> None:
    said: dict[str, Any] = {}
    monkeypatch.setattr(audit_dataset, "serve", lambda **held: said.update(held))
    serve_audit(Order(str(manifest), "0 2 * * 1", limit=5, gate="new"))
    made = audit_dataset.to_deployment("farm", entrypoint_type=said["entrypoint_type"])
    (manifest.parent / "flow").write_bytes(cloudpickle.dumps(audit_dataset))
    # As Prefect starts a run: by what a pickle brings along, or by the entry point.
    program = (
        "import cloudpickle, json, sys\n"
        "by_value = cloudpickle.load(open('flow', 'rb'))\n"
        "from prefect.flows import load_flow_from_entrypoint\n"
        "by_name = load_flow_from_entrypoint(sys.argv[1], use_placeholder_flow=False)\n"
        "for flow in (by_value, by_name):\n"
        "    print(sorted(flow.validate_parameters(json.loads(sys.argv[2]))))\n"
    )
    found = in_a_process_of_its_own(
        program, str(made.entrypoint), json.dumps(said["parameters"]), folder=manifest.parent
    )
    assert ["gate" in line for line in found.splitlines()] == [True, True]


def test_the_form_of_a_run_offers_what_can_be(manifest: Path) -> None:
    form = audit_dataset.parameters.properties
    (gate,) = (one for one in form["gate"]["anyOf"] if "enum" in one)
    assert gate["enum"] == ["never", "suspect", "new", "worsened"]
    assert all(form[name].get("description") for name in form)
    for wrong in ({"gate": "often"}, {"limit": 0}, {"device": "tpu"}):
        with pytest.raises(ParameterTypeError, match="invalid parameters"):
            audit_dataset.validate_parameters({"manifest": str(manifest), **wrong})


def finished(folder: Path) -> RunFolder:
    """A run folder with a record and a page."""
    night = write_night(folder / "20261126-020000", {"ant": 0.0, "bee": 0.0}, started=1)
    (night.path / "report.html").write_text("<html>")
    return night


def test_artifacts_are_named_after_the_audit_and_links_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: dict[str, dict[str, Any]] = {}
    for kind in ("table", "markdown", "link"):
        monkeypatch.setattr(
            outcome, f"create_{kind}_artifact", lambda key, **held: made.update({key: held})
        )
    findings = run({**dict.fromkeys(CLASSES, 0.0), "bee": 0.5}).findings
    night = finished(tmp_path)
    there = ReportSection(public_url="https://audits.example/farm/")
    outcome.show_findings(findings, night, there)
    assert set(made) == {f"farm-animals-{end}" for end in ("findings", "summary", "report-html")}
    link = made["farm-animals-report-html"]["link"]
    assert link == "https://audits.example/farm/20261126-020000/report.html"
    assert link in made["farm-animals-summary"]["markdown"]
    rows = {row["class"]: row for row in made["farm-animals-findings"]["table"]}
    assert rows["bee"]["verdict"] == "suspect"
    outcome.show_findings(findings, night, ReportSection())
    assert made["farm-animals-report-html"]["link"].startswith("file:///")


def test_a_server_that_is_away_costs_the_page_and_no_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def away(**_: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(outcome, "create_table_artifact", away)
    quiet = run({"ant": 0.0, "bee": 0.0}).findings
    outcome.show_findings(quiet, finished(tmp_path), ReportSection())
    assert "took no artifacts" in caplog.text


@pytest.mark.parametrize(
    ("error", "again"),
    [(OSError("stale handle"), True), (AuditError("no class"), False), (ValueError("x"), False)],
)
def test_only_what_can_pass_is_tried_again(error: Exception, again: bool) -> None:
    assert tasks._may_pass(None, None, State(type=StateType.FAILED, data=error)) is again
