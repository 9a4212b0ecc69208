"""The command line and the flow, as a user meets them."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from auditing import opened
from PIL import Image
from planted import CLASSES, leaner, write_dataset
from typer.testing import CliRunner

from audit.cancellation import Stopped
from audit.dataset.batches import iterate_batches
from audit.errors import InputError
from audit.measuring import backgrounds
from audit.measuring.rows import maps_of
from audit.pipeline import measure
from audit.pipeline.runs import open_run
from audit.report import overlays
from audit.run_folder import RunFolder
from flows import server
from flows.cli import app, main
from flows.outcome import flow_state

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
QUICK = ("--set", "cmv.classes=none", "--set", "report.formats=[html]")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "flows", *map(str, arguments)]


def call(
    *arguments: str | Path, environment: Mapping[str, str] = ENVIRONMENT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def served(prefect_server: str) -> dict[str, str]:
    """Where a server runs already; only `finished` starts its own, as users do."""
    return {**ENVIRONMENT, "PREFECT_API_URL": prefect_server}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Manifest, run folder and JSON answer of an audit by the command line."""
    folder = tmp_path_factory.mktemp("finished")
    manifest = leaner(write_dataset(folder, [1], per_class=20))
    out = folder / "run"
    options = ("--set", "cmv.steps=4", "--set", "cmv.classes=suspect", "--json")
    done = call("run", manifest, "--out", out, *options, "--set", "report.formats=[html, pdf]")
    assert done.returncode == 0, done.stderr
    return manifest, out, json.loads(done.stdout)


def test_a_run_leaves_everything_that_the_contract_names(
    finished: tuple[Path, Path, dict[str, Any]],
) -> None:
    _, out, answer = finished
    assert answer["suspect"] == 1
    assert answer["clear"] == len(CLASSES) - 1
    for name in (
        "run.json",
        "manifest.yaml",
        "samples.parquet",
        "scores/part-00000.parquet",
        "scores.parquet",
        "classes.parquet",
        "classes.csv",
        "confusions.parquet",
        "findings.json",
        "report.html",
        "report.pdf",
        "problems.csv",
    ):
        assert (out / name).is_file(), name
    assert not (out / "donors").exists()
    facts = json.loads((out / "run.json").read_text())
    assert facts["status"] == "complete"
    assert set(facts["hashes"]) == {"model", "data", "manifest", "settings"}
    findings = json.loads((out / "findings.json").read_text())["findings"]
    (suspect,) = [f for f in findings if f["verdict"] == "suspect"]
    assert suspect["label_name"] == "bee"
    assert {cmv["objective"] for cmv in suspect["cmv"]} == {"logit", "softmax"}
    shown = [p for e in suspect["exhibits"] for p in e["pictures"].values() if p]
    assert len(shown) >= 4 * 4
    assert all((out / p).is_file() for p in shown)


def test_the_mean_map_is_that_of_the_images_it_names(
    finished: tuple[Path, Path, dict[str, Any]],
) -> None:
    manifest, out, _ = finished
    findings = json.loads((out / "findings.json").read_text())["findings"]
    (suspect,) = [f for f in findings if f["verdict"] == "suspect"]
    assert all(f["mean_map"] is None for f in findings if f is not suspect)
    (entry,) = json.loads((out / "exhibits" / "mean_maps.json").read_text())
    scores = pd.read_parquet(out / "scores.parquet")
    rows = entry["rows"]
    assert set(scores.loc[rows, "label"]) == {suspect["label"]}
    own = scores[(scores["label"] == suspect["label"]) & (scores["status"] == "scored")]
    assert suspect["mean_map"]["images"] == len(rows) == min(40, len(own))
    session = opened(manifest, out)
    with session.loader as loader:
        batches = list(iterate_batches(session.table.loc[rows], loader, 3))
    held = [
        maps_of(session.engine, batch, session.measurement()).cpu().numpy() for batch in batches
    ]
    drawn = np.asarray(Image.open(out / suspect["mean_map"]["path"]))
    assert np.array_equal(drawn, overlays.mean_map(m for maps in held for m in maps))
    assert f"Saliency averaged over {len(rows)} images" in (out / "report.html").read_text()


def test_the_report_names_the_suspect_and_no_path_of_this_machine(
    finished: tuple[Path, Path, dict[str, Any]],
) -> None:
    _, out, _ = finished
    page = (out / "report.html").read_text()
    assert all(name in page for name in CLASSES)
    assert str(out.parent) not in page
    assert str(Path.home()) not in page
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF")


def test_a_failed_gate_exits_with_3_and_computes_nothing_again(
    finished: tuple[Path, Path, dict[str, Any]], served: dict[str, str]
) -> None:
    manifest, out, _ = finished
    stamps = {p: p.stat().st_mtime_ns for p in (out / "scores").iterdir()}
    gate = ("--gate", "suspect")
    again = call("run", manifest, "--out", out, *gate, *QUICK, environment=served)
    assert again.returncode == 3, again.stderr
    assert {p: p.stat().st_mtime_ns for p in (out / "scores").iterdir()} == stamps


def test_killed_and_resumed_is_the_same_to_the_last_byte(
    finished: tuple[Path, Path, dict[str, Any]], tmp_path: Path, served: dict[str, str]
) -> None:
    manifest, whole, _ = finished
    out = tmp_path / "run"
    arguments = command("run", manifest, "--out", out, *QUICK)
    running = subprocess.Popen(
        arguments, env=served, stderr=subprocess.DEVNULL, start_new_session=True
    )
    first = out / "scores" / "part-00000.parquet"
    deadline = time.monotonic() + 240
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert first.exists()
    assert not (out / "scores.parquet").exists()
    assert json.loads((out / "run.json").read_text())["status"] == "running"
    stamp = first.stat().st_mtime_ns
    resumed = call("run", manifest, "--out", out, *QUICK, environment=served)
    assert resumed.returncode == 0, resumed.stderr
    assert first.stat().st_mtime_ns == stamp
    assert (out / "scores.parquet").read_bytes() == (whole / "scores.parquet").read_bytes()


@pytest.mark.parametrize(
    ("began", "number", "resumed"),
    [
        ("donors/donors.parquet", signal.SIGTERM, True),
        ("exhibits/index.json", signal.SIGHUP, False),
        ("samples.parquet", signal.SIGINT, False),
    ],
    ids=["scores", "cmv", "start"],
)
def test_asked_twice_to_end_it_ends_and_goes_on_later(
    finished: tuple[Path, Path, dict[str, Any]],
    tmp_path: Path,
    served: dict[str, str],
    began: str,
    number: signal.Signals,
    resumed: bool,
) -> None:
    manifest, whole, _ = finished
    out = tmp_path / "run"
    # Many steps, so that it ends because it is asked to.
    long = (
        "cmv.classes=all",
        "cmv.brief=false",
        "cmv.steps=4096",
        "cmv.early=false",
        "report.formats=[]",
    )
    options = [word for setting in long for word in ("--set", setting)]
    arguments = command("run", manifest, "--out", out, *options)
    with subprocess.Popen(
        arguments,
        env=served,
        stderr=subprocess.PIPE,
        text=True,
        # The tests may have been started in a background, where Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as running:
        deadline = time.monotonic() + 240
        while not (out / began).exists() and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        # Into the step that follows.
        time.sleep(0.5)
        for _ in range(2):
            running.send_signal(number)
        _, said = running.communicate(timeout=240)
    assert running.returncode == 1, said
    assert "Stopped. Finished shards are kept" in said
    assert "Traceback" not in said
    assert json.loads((out / "run.json").read_text())["status"] == "failed"
    if resumed:
        done = call("run", manifest, "--out", out, *QUICK, environment=served)
        assert done.returncode == 0, done.stderr
        assert (out / "scores.parquet").read_bytes() == (whole / "scores.parquet").read_bytes()


def test_new_thresholds_render_again_without_a_model(
    finished: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, out, _ = finished
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(out), str(copy)], check=True)
    done = call("report", copy, "--set", "verdict.effect=0.99", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["suspect"] == 0
    assert "suspect" not in set(pd.read_parquet(copy / "classes.parquet")["verdict"])


def test_the_state_of_the_flow_is_named_after_what_was_found(
    tmp_path: Path, served: dict[str, str]
) -> None:
    code = (
        "import sys\n"
        "from flows.audit_dataset import audit_dataset\n"
        "for gate in (None, None, 'suspect'):\n"
        "    state = audit_dataset(sys.argv[1], runs=sys.argv[2], return_state=True, gate=gate,\n"
        "        overrides=['cmv.classes=none', 'report.formats=[]'])\n"
        "    print('STATE', state.name, state.type.value)\n"
    )
    told = {**served, "PREFECT_LOGGING_LEVEL": "INFO"}
    states = []
    for index, planted in enumerate(([2], [])):
        folder = tmp_path / str(index)
        folder.mkdir()
        manifest = leaner(write_dataset(folder, planted, per_class=20))
        done = subprocess.run(
            [sys.executable, "-c", code, str(manifest), str(folder / "runs")],
            env=told,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        states.append([line for line in done.stdout.splitlines() if line.startswith("STATE")])
        (run,) = (p for p in (folder / "runs" / "planted-colours").iterdir() if p.is_dir())
        # What a night was like, in Prefect's own log.
        assert f"Run folder: {run}" in done.stderr
        assert ("Suspect: cat, its own shortcut; gap" in done.stderr) == bool(planted)
        assert f"{len(planted)} suspect, 0 watch, 0 inconclusive" in done.stderr
        assert "nothing was measured again, and its report holds" in done.stderr
    nothing_new = "STATE Unchanged COMPLETED"
    assert states == [
        ["STATE SuspectClasses COMPLETED", nothing_new, "STATE GateFailed FAILED"],
        ["STATE Completed COMPLETED", nothing_new, nothing_new],
    ]


def test_a_mistake_ends_with_2_and_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = write_dataset(tmp_path, [], per_class=3)
    for arguments, said in (
        (("run", tmp_path / "none.yaml"), "no such file"),
        (("run", manifest, "--set", "verdict.fdr=3"), "verdict.fdr: expected less than 1"),
        (("run", manifest, "--set", "dataset.root=nowhere"), "no such folder"),
        (("run", manifest, "--device", "tpu9"), "--device"),
    ):
        monkeypatch.setattr(sys, "argv", ["saliency-audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        shown = capsys.readouterr().err
        assert said in shown
        assert "Traceback" not in shown
    assert not (tmp_path / "runs").exists()


def test_without_prefect_the_audit_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_dataset(tmp_path, [], per_class=3)
    monkeypatch.setattr(server, "missing_server", lambda: "The Prefect server at X does not answer")
    out = tmp_path / "run"
    words = ("run", manifest, "--out", out, "--set", "report.formats=[]", "--device", "cpu")
    monkeypatch.setattr(sys, "argv", ["saliency-audit", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr().err
    # Three images a class: nothing can be judged.
    assert ended.value.code == 4, shown
    assert "X does not answer; the audit goes on without Prefect, in this process." in shown
    # Nobody looks at a terminal here: a line a step, and the same in the run's own log.
    assert "\nscores: 18 in " in shown
    log = (out / "run.log").read_text()
    assert "INFO scores: 18 in " in log
    assert "WARNING" not in log
    assert str(tmp_path) not in log


def test_whoever_stops_the_demo_is_not_told_of_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> None:
        raise Stopped

    monkeypatch.setattr("flows.demo.make_demo", stopped)
    monkeypatch.setattr(sys, "argv", ["saliency-audit", "demo", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_full_disk_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_dataset(tmp_path, [], per_class=3)
    out = tmp_path / "run"
    full = [False]

    def reserve(_path: Path) -> None:
        full[0] = True
        raise OSError(errno.ENOSPC, "No space left on device")

    write = Path.write_bytes

    def write_bytes(path: Path, content: bytes) -> int:
        if full[0] and out in path.parents:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    words = ("run", manifest, "--out", out, "--device", "cpu", "--set", "report.formats=[]")
    monkeypatch.setattr(sys, "argv", ["saliency-audit", *map(str, words)])
    monkeypatch.setattr(server, "missing_server", lambda: "No Prefect")
    with monkeypatch.context() as patch:
        patch.setattr(backgrounds, "reserve", reserve)
        patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(SystemExit) as ended:
            main()
    shown = capsys.readouterr().err
    assert ended.value.code == 1
    assert "the disk is full, or has no room for another file" in shown
    assert "Traceback" not in shown
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4


def test_an_incomplete_run_exits_with_4(tmp_path: Path, served: dict[str, str]) -> None:
    manifest = leaner(write_dataset(tmp_path, [], per_class=20))
    for index in range(3):
        (tmp_path / "images" / "ant" / f"{index:03d}.png").write_bytes(b"broken")
    out = tmp_path / "run"
    done = call("run", manifest, "--out", out, *QUICK, "--json", environment=served)
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["clear"] == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "incomplete"


@pytest.fixture
def in_tests_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_check_counts_and_warns(in_tests_path: Path) -> None:
    manifest = write_dataset(in_tests_path, [], per_class=6)
    done = CliRunner().invoke(app, ["check", str(manifest), "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["images"] == 36
    assert found["foreground"] == "mask_file"
    assert found["accuracy_tried"] == 1.0
    assert any("6 of the 20 images" in warning for warning in found["warnings"])


def test_explain_writes_an_overlay_and_says_how_much_lies_on_the_object(
    in_tests_path: Path,
) -> None:
    manifest = write_dataset(in_tests_path, [1], per_class=4)
    done = CliRunner().invoke(
        app, ["explain", str(manifest), "cat/001.png", "--json"], catch_exceptions=False
    )
    found = json.loads(done.stdout)
    assert found["explained"] == "cat"
    assert found["foreground_mass"] > 0.99
    assert (in_tests_path / found["overlay"]).is_file()
    against = ["explain", str(manifest), "cat/001.png", "--against", "dog", "--json"]
    done = CliRunner().invoke(app, against, catch_exceptions=False)
    assert json.loads(done.stdout)["against"] == "dog"
    assert found["completeness_error"] is None
    integrated = ["--method", "integrated_gradients", "--json"]
    done = CliRunner().invoke(
        app, ["explain", str(manifest), "cat/001.png", *integrated], catch_exceptions=False
    )
    assert 0 <= json.loads(done.stdout)["completeness_error"] < 1
    assert "off the sum" in " ".join(done.stderr.split())
    both = ["--method", "smoothgrad, gradcam", "--method", "occlusion"]
    both += ["--out", "both.html", "--json"]
    done = CliRunner().invoke(
        app, ["explain", str(manifest), "cat/001.png", *both], catch_exceptions=False
    )
    assert list(json.loads(done.stdout)["methods"]) == ["smoothgrad", "gradcam", "occlusion"]
    text = (in_tests_path / "both.html").read_text()
    assert text.count("data:image/png;base64,") == 4
    assert "<strong>occlusion</strong>" in text
    with pytest.raises(InputError, match="--method: expected names .* found an empty one"):
        CliRunner().invoke(
            app, ["explain", str(manifest), "cat/001.png", "--method", "gradient,"],
            catch_exceptions=False,
        )  # fmt: skip
    with pytest.raises(InputError, match="'cow' is no class of the model"):
        CliRunner().invoke(
            app, ["explain", str(manifest), "cat/001.png", "--target", "cow"],
            catch_exceptions=False,
        )  # fmt: skip


def test_init_writes_a_manifest_that_can_be_checked(in_tests_path: Path) -> None:
    write_dataset(in_tests_path, [], per_class=4)
    arguments = ["init", "--images", "images", "--masks", "masks"]
    arguments += ["--model", "planted_loader_r:load", "--out", "mine.yaml"]
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    written = yaml.safe_load((in_tests_path / "mine.yaml").read_text())
    assert written["dataset"]["root"] == "images"
    assert written["foreground"] == {"source": "mask_file", "root": "masks"}
    done = CliRunner().invoke(
        app,
        ["check", "mine.yaml", "--json", "--set", "model.input.mean=[0, 0, 0]",
         "--set", "model.input.std=[1, 1, 1]", "--set", "model.input.size=32"],
        catch_exceptions=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["images"] == 24
    with pytest.raises(InputError, match="exists already"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_cmv_alone_needs_no_dataset_pass(in_tests_path: Path) -> None:
    manifest = write_dataset(in_tests_path, [], per_class=3)
    arguments = ["cmv", str(manifest), "--class", "ant", "--objective", "logit"]
    arguments += ["--out", "pictures", "--set", "cmv.steps=3"]
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (in_tests_path / "pictures" / "cmv" / "0000-ant.png").is_file()


def test_a_failed_control_is_the_last_word_on_the_terminal(
    in_tests_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*_: Any, **__: Any) -> list[dict[str, Any]]:
        return [{"label": k, "gain": 1.0, "g": [0.0] * 20, "h": [0.0] * 20} for k in range(3)]

    monkeypatch.setattr(measure, "plant_tags", blind)
    manifest = write_dataset(in_tests_path, [], per_class=20)
    arguments = ["run", str(manifest), "--out", "blind", *QUICK, "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    said = (
        "Positive control failed: 0 of 3 planted tags of gain 1 found. A planted tag was missed, "
        "so a shortcut can be missed too: a silent class is not proven clear."
    )
    assert done.stderr.strip().splitlines()[-1] == said
    assert json.loads(done.stdout)["failed_controls"] == [said]
    state = flow_state(open_run(in_tests_path / "blind").findings, RunFolder(Path("blind")))
    tally = "0 suspect, 0 watch, 0 inconclusive, 6 clear."
    assert state.message == f"{tally} No class was found suspect. {said}"
