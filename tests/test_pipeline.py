"""One pipeline: the public calls, each thing opened once, each file written once, resumed whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from auditing import opened
from planted import CLASSES, write_dataset

import audit
from audit.dataset import loader
from audit.errors import InputError, RunFolderError
from audit.findings import read_facts
from audit.measuring.columns import SCORE_COLUMNS
from audit.pipeline import opening, prepare, run
from audit.pipeline.report import report_again
from audit.run_folder import RunFolder
from audit.verdicts.tables import CLASS_COLUMNS

STEPS = ["masks", "donors", "scores", "gather", "follow-up", "more images"]
STEPS += ["second outlines", "controls"]
STEPS += ["decide", "exhibits", "cues", "cmvs", "compose", "report"]


class Told:
    """What a run tells of its progress."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.done: Counter[str] = Counter()
        self.now: list[str] = []

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[None]:
        self.totals[name] = total
        self.now.append(name)
        yield
        self.now.remove(name)

    def advance(self, name: str, count: int) -> None:
        assert name in self.now
        self.done[name] += count


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, audit.Run, Told, dict[str, Counter[Any]]]:
    """Manifest, run, progress, and how often what was opened and which file was written."""
    folder = tmp_path_factory.mktemp("pipeline")
    manifest, told = write_dataset(folder, [1], per_class=20), Told()
    counts: dict[str, Counter[Any]] = {
        "opened": Counter(),
        "written": Counter(),
        "by outline": Counter(),
    }
    replace = Path.replace

    def counted_replace(path: Path, target: Any) -> Path:
        if (folder / "run") in Path(target).parents:
            counts["written"][Path(target).relative_to(folder / "run").as_posix()] += 1
        return replace(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", counted_replace)

        def count(module: Any, name: str) -> None:
            plain = getattr(module, name)

            def counted(*given: Any, **named: Any) -> Any:
                counts["opened"][name] += 1
                if name == "start_decoder":
                    counts["by outline"][given[0].widened] += 1
                return plain(*given, **named)

            patch.setattr(module, name, counted)

        count(opening, "load_model")
        count(opening, "read_dataset")
        count(prepare, "try_one_batch")
        count(loader, "start_decoder")
        overrides = {"cmv.classes": "suspect", "cmv.steps": 2, "report.formats": ["html"]}
        done = audit.run(manifest, folder / "run", progress=told, device="cpu", overrides=overrides)
    return manifest, done, told, counts


def test_everything_is_opened_once(finished: tuple[Any, Any, Any, Any]) -> None:
    opened = dict(finished[3]["opened"])
    del opened["start_decoder"]
    # Every step decodes; all share the children that the first of them started. The masks are
    # rectangles, so the suspect is measured again by a wider outline, which other children lay.
    by_outline = finished[3]["by outline"]
    assert len(by_outline) == 2
    assert all(1 <= started <= (os.cpu_count() or 1) for started in by_outline.values())
    assert opened == {"load_model": 1, "read_dataset": 1, "try_one_batch": 1}


def test_every_result_is_written_once(finished: tuple[Any, Any, Any, Any]) -> None:
    written = finished[3]["written"]
    results = ["findings.json", "classes.parquet", "classes.csv", "confusions.parquet"]
    results += ["whose_background.parquet", "scores.parquet", "samples.parquet", "problems.csv"]
    results += ["report.html", "manifest.yaml", "controls.json", "exhibits/index.json"]
    results += ["exhibits/mean_maps.json", "cues/index.json"]
    assert {name: written[name] for name in results} == dict.fromkeys(results, 1)
    several = {name for name, times in written.items() if times > 1}
    # run.json as the run goes on; the index of CMVs before their parts, too.
    assert several <= {"run.json", "cmv/index.json"}


def test_each_step_is_told_and_timed(finished: tuple[Any, audit.Run, Told, Any]) -> None:
    _, done, told, _ = finished
    assert [name for name in told.totals if ", " not in name] == ["listing", "contents", *STEPS]
    # What only the step itself can count.
    within = {name: total for name, total in told.totals.items() if ", " in name}
    assert {name.split(",")[0] for name in within} == {*STEPS[4:5], *STEPS[6:8], *STEPS[9:12]}
    assert "follow-up, images" in within
    assert "controls, tags" in within
    assert {"exhibits, samples", "exhibits, maps", "cues, classes"} <= within.keys()
    assert all(within.values())
    assert {name: told.done[name] for name in within} == within
    assert told.done["listing"] == 20 * len(CLASSES)
    assert told.totals["scores"] == told.done["scores"] == 20 * len(CLASSES)
    assert told.totals["cmvs"] == told.done["cmvs"] == 2
    assert list(done.facts.timings) == ["contents", *STEPS]
    assert all(seconds >= 0 for seconds in done.facts.timings.values())


def test_a_run_opens_as_tables_and_findings(finished: tuple[Any, audit.Run, Any, Any]) -> None:
    done = audit.open_run(finished[1].path)
    assert done == finished[1]
    assert done.scores.columns.tolist() == SCORE_COLUMNS.names
    assert done.classes.columns.tolist() == CLASS_COLUMNS.names
    assert done.findings.summary.suspect == 1
    suspect = done.findings.findings[0]
    assert (suspect.label_name, len(suspect.cmv)) == ("bee", 2)
    assert done.facts.status == "complete"


def test_a_resumed_run_finds_what_is_finished(
    finished: tuple[Path, audit.Run, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, done, _, _ = finished
    kept = ["scores/part-00000.parquet", "follow_up.parquet", "controls.json"]
    kept += ["exhibits/index.json", "cues/index.json"]
    kept += [entry.path for entry in done.findings.findings[0].cmv]
    kept = [name for name in kept if (done.path / name).exists()]
    stamps = {name: (done.path / name).stat().st_mtime_ns for name in kept}
    before = done.findings

    def refuse(*_: Any) -> None:
        raise ValueError("the report broke")

    settings = {"cmv.classes": "suspect", "cmv.steps": 2, "report.formats": ["html"]}
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="the report broke"):
        patch.setattr(run, "write_reports", refuse)
        audit.run(manifest, done.path, device="cpu", overrides=settings)
    assert done.facts.status == "failed"
    again = audit.run(manifest, done.path, device="cpu", overrides=settings)
    assert again.facts.status == "complete"
    assert {name: (done.path / name).stat().st_mtime_ns for name in kept} == stamps
    assert again.findings == before


def test_a_manifest_at_hand_is_the_audit_of_its_file(
    finished: tuple[Path, audit.Run, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, done, _, _ = finished
    monkeypatch.chdir(manifest.parent)
    declared = yaml.safe_load(manifest.read_text())
    declared["dataset"]["root"] = Path(declared["dataset"]["root"])
    again = audit.run(declared, tmp_path / "run", device="cpu", overrides=["report.formats=[]"])
    assert (again.path / "scores.parquet").read_bytes() == (
        done.path / "scores.parquet"
    ).read_bytes()
    with pytest.raises(InputError, match="manifest: model: missing"):
        audit.run({"name": "x", "dataset": {}}, tmp_path / "other")


def test_a_new_run_lies_below_runs_and_an_unfinished_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = write_dataset(tmp_path, [], per_class=2)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "gather_scores", stop)
        audit.run(manifest, overrides=["report.formats=[]"])
    (begun,) = (tmp_path / "runs" / "planted-colours").iterdir()
    again = audit.run(manifest, overrides=["report.formats=[]"])
    assert again.path == begun
    assert (begun.parent / "latest").resolve() == begun
    assert audit.run(manifest, overrides=["report.formats=[]"]).path == begun
    other = audit.run(manifest, overrides=["report.formats=[]"], force=True)
    assert other.path != begun


def test_check_and_explain_answer_in_python(finished: tuple[Path, Any, Any, Any]) -> None:
    manifest = finished[0]
    found = audit.check(manifest, device="cpu")
    assert found.classes == dict.fromkeys(CLASSES, 20)
    assert found.accuracy_tried == 1
    assert found.warnings == (
        "64 of 64 masks are rectangles: boxes, which hold background in their corners.",
    )
    explained = audit.explain(manifest, "cat/001.png", device="cpu")
    assert explained.explained == "cat"
    assert explained.saliency.shape == (32, 32)
    assert explained.overlay.shape == (32, 32, 3)
    assert explained.overlay.dtype == np.uint8
    assert explained.foreground_mass is not None
    assert explained.foreground_mass > 0.99


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no finished run here"):
        audit.open_run(tmp_path)


def test_a_run_that_ended_before_its_controls_is_not_declared_complete(
    finished: tuple[Path, audit.Run, Any, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed(*_: Any) -> None:
        raise ValueError("power cut")

    monkeypatch.setattr(run, "run_controls", killed)
    overrides = {"cmv.classes": "none", "report.formats": []}
    with pytest.raises(ValueError, match="power cut"):
        audit.run(finished[0], tmp_path / "run", device="cpu", overrides=overrides)
    died = RunFolder(tmp_path / "run")
    assert died.scores.exists()
    for _ in range(2):
        with pytest.raises(RunFolderError, match="Resume it"):
            report_again(died)
    assert read_facts(died.run_json).status == "failed"
    assert not died.findings.exists()


def test_of_a_foreign_run_folder_words_and_thresholds_alone_are_taken(
    finished: tuple[Path, audit.Run, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "SECRET")
    copy = tmp_path / "foreign"
    shutil.copytree(finished[1].folder.path, copy)
    (copy / "theme" / "templates").mkdir(parents=True)
    (copy / "theme" / "templates" / "_limits.html.j2").write_text("<p>planted words</p>")
    declared = yaml.safe_load((copy / "manifest.yaml").read_text())
    declared["report"] = {"title": "of ${CANARY}", "templates": "own", "formats": ["html"]}
    declared["verdict"] = {"effect": 0.9, "strong_effect": 0.95}
    (copy / "manifest.yaml").write_text(yaml.safe_dump(declared))
    run = audit.open_run(copy)
    page = next(path for path in run.report() if path.suffix == ".html").read_text()
    assert "of ${CANARY}" in page
    assert "SECRET" not in page
    assert "planted words" not in page
    assert audit.open_run(copy).findings.thresholds.effect == 0.9
    report_again(RunFolder(copy), trust_templates=True)
    assert "planted words" in (copy / "report.html").read_text()


def _halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _without_its_first_column(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(table.column_names[:1]), path)


def _of_words(path: Path) -> None:
    pd.read_parquet(path).astype(str).to_parquet(path)


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _a_link(path: Path) -> None:
    elsewhere = path.parent.with_name("elsewhere")
    elsewhere.mkdir()
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(elsewhere)


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "tamper"),
    [
        ("fiftyone", _a_link),
        ("exhibits", _a_link),
        ("classes.parquet", _a_folder),
        ("report.html", _a_folder),
        ("scores.parquet", _halved),
        ("scores.parquet", _without_its_first_column),
        ("scores.parquet", _of_words),
        ("scores.parquet", _a_pipe),
        ("masks.parquet", _halved),
        ("masks.parquet", _of_words),
        ("second_outlines.parquet", _halved),
        ("second_outlines.parquet", _a_pipe),
        ("second_follow_up.parquet", _without_its_first_column),
        ("second_follow_up.parquet", Path.unlink),
        ("exhibits/index.json", _a_pipe),
    ],
)
def test_of_a_run_folder_that_was_tampered_with_nothing_is_reported(
    finished: tuple[Path, audit.Run, Any, Any],
    tmp_path: Path,
    name: str,
    tamper: Callable[[Path], None],
) -> None:
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(finished[1].path, copy.path)
    before = copy.findings.read_bytes()
    tamper(copy.path / name)
    # Left out, a table of other outlines or masks would change verdicts without a word.
    with pytest.raises(RunFolderError, match=r"[Tt]ake the (run )?folder from"):
        report_again(copy)
    assert copy.findings.read_bytes() == before


def test_what_was_drawn_and_is_damaged_is_drawn_again(
    finished: tuple[Path, audit.Run, Any, Any], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished[1].path, copy)
    before = audit.open_run(copy).findings
    for index in ("exhibits/index.json", "exhibits/mean_maps.json", "cues/index.json"):
        (copy / index).write_text("{")
    shown = before.findings[-1].exhibits[0].pictures
    assert shown.image is not None
    (copy / shown.image).unlink()
    (copy / "scores" / "part-00000 (conflicted copy).parquet").write_bytes(b"a mirror's")
    settings = {"cmv.classes": "suspect", "cmv.steps": 2, "report.formats": ["html"]}
    again = audit.run(finished[0], copy, device="cpu", overrides=settings)
    assert again.findings == before
    # The index says that it is there, and it alone.
    (copy / shown.image).unlink()
    audit.run(finished[0], copy, device="cpu", overrides=settings)
    assert (copy / shown.image).is_file()


def test_two_runs_cannot_share_a_folder_not_even_in_one_process(
    finished: tuple[Path, audit.Run, Any, Any],
) -> None:
    manifest, done, _, _ = finished
    with done.folder.locked(), pytest.raises(RunFolderError, match="another audit is writing"):
        audit.run(manifest, done.path, device="cpu")


def test_a_session_keeps_nothing_for_the_next(finished: tuple[Path, Any, Any, Any]) -> None:
    one, two = opened(finished[0]), opened(finished[0])
    assert one.model is not two.model
    assert one.key == two.key


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, audit, audit.dataset.decoding_child; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    # torchvision's networks bring the compiler along, which a model of one's own does not need.
    code = "import sys, audit.pipeline.run; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert set(audit.__all__) <= set(dir(audit))
    with pytest.raises(AttributeError, match="no attribute 'mend'"):
        _ = audit.mend  # type: ignore[attr-defined]
