"""The workflow that the docs show: valid YAML whose commands, options and files exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.core import Context
from typer.main import get_command

from audit.exports import EXPORTS
from audit.manifest import load_manifest
from flows.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "ci.md"
WRITTEN = {"report.html", "report.pdf", "findings.json"} | {one.file for one in EXPORTS.values()}


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    workflow = yaml.safe_load(text)
    # YAML 1.1 reads the key `on` as a truth value.
    assert set(workflow) >= {"name", True, "permissions", "jobs"}
    assert workflow["permissions"]["security-events"] == "write"
    (job,) = workflow["jobs"].values()
    held: list[dict[str, Any]] = job["steps"]
    return held


def commands(steps: list[dict[str, Any]]) -> list[list[str]]:
    lines = "\n".join(step.get("run", "") for step in steps).replace("\\\n", " ").splitlines()
    found = [line.partition(" > ")[0] for line in lines if line.startswith("saliency-audit ")]
    return [shlex.split(line)[1:] for line in found]


def test_every_command_is_understood(steps: list[dict[str, Any]], tmp_path: Path) -> None:
    root, found = get_command(app), commands(steps)
    assert [words[0] for words in found] == ["check", "run"]
    manifest = tmp_path / "audit.yaml"
    manifest.write_text("name: a\ndataset: {root: images}\nmodel: {loader: 'a:b'}\n")
    for name, *arguments in found:
        command = root.get_command(Context(root), name)  # type: ignore[attr-defined]
        asked = command.make_context(name, list(arguments)).params
        assert asked["manifest"] == "audit.yaml"
        declared = load_manifest(manifest, asked["overrides"] or ())
    assert declared.report.formats == ("html", "pdf", "junit", "sarif")
    assert (asked["gate"], asked["as_json"]) == ("new", True)


def test_what_it_uploads_is_what_a_run_writes(steps: list[dict[str, Any]]) -> None:
    (run,) = [step for step in steps if step.get("id") == "audit"]
    assert ".run_folder" in run["run"]
    asked = "\n".join(
        str(value)
        for step in steps
        for key, value in step.get("with", {}).items()
        if key in ("sarif_file", "report_paths", "path")
    )
    files = re.findall(r"steps\.audit\.outputs\.folder }}/(\S+)", asked)
    assert set(files) <= WRITTEN
    assert {"findings.sarif", "junit.xml"} < set(files)
    for step in steps:
        if "steps.audit.outputs.folder" in str(step.get("with")):
            # After a failed gate, too, and not where there is no run.
            assert step["if"] == "${{ !cancelled() && steps.audit.outputs.folder }}"


def test_the_runs_before_are_there_and_a_failed_gate_is_kept(steps: list[dict[str, Any]]) -> None:
    held = {step["uses"].partition("@")[0]: step for step in steps if "uses" in step}
    restored, saved = held["actions/cache/restore"], held["actions/cache/save"]
    assert restored["with"]["path"] == saved["with"]["path"] == "runs"
    assert saved["if"] == "${{ !cancelled() }}"
    assert steps.index(restored) < steps.index(saved)
