"""Exhibits, mean maps and cues by class: the same bytes whoever draws, and what is there stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from auditing import Elsewhere, opened
from planted import write_dataset

from audit.errors import AuditError
from audit.findings import MeanMap
from audit.pipeline import exhibits, measure
from audit.pipeline.cues import find_cues
from audit.pipeline.decide import Decided, decide
from audit.pipeline.drawn_parts import gathered
from audit.pipeline.exhibits import draw_exhibits
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, Sequential, StepRunner

T = TypeVar("T")
Step = Callable[[Session, Decided, Progress, StepRunner], object]
STEPS: dict[str, Step] = {"exhibits": draw_exhibits, "cues": find_cues}


class CutOff(Sequential):
    """Makes one part of a step, and then no more."""

    def run_parts(
        self,
        name: str,
        make: Callable[[Session, T, Progress], bool],
        session: Session,
        progress: Progress,
        parts: Mapping[T, int],
    ) -> None:
        assert len(parts) > 1
        assert make(session, next(iter(parts)), progress)
        raise KeyboardInterrupt


def drawn(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def decided(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Session, Decided, dict[str, dict[str, bytes]]]:
    """An audit up to its verdicts, two classes of which are suspect, and what is drawn of it."""
    manifest = write_dataset(tmp_path_factory.mktemp("drawn"), [1, 4], per_class=20)
    session = opened(manifest, manifest.parent / "run")
    with session.loader:
        prepare(session)
        for shard in range(session.shards):
            measure.score(session, shard)
        measure.gather_scores(session)
        found = decide(session.run, session.manifest)
        assert len(found.suspects) == 2
        for step in STEPS.values():
            step(session, found, SILENT, SEQUENTIAL)
    run = session.run
    return session, found, {"exhibits": drawn(run.exhibits), "cues": drawn(run.cues)}


@pytest.fixture
def again(
    decided: tuple[Session, Decided, dict[str, dict[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> tuple[Session, Decided, dict[str, dict[str, bytes]]]:
    """The same with nothing drawn, in parts of a class or two."""
    session, found, before = decided
    for name in STEPS:
        for file in before[name]:
            (session.run.path / name / file).unlink(missing_ok=True)
    monkeypatch.setattr(exhibits, "_OF_PART", 6)
    return session, found, before


@pytest.mark.parametrize("name", STEPS)
def test_parts_drawn_elsewhere_and_in_another_order_are_the_same_to_the_last_byte(
    again: tuple[Session, Decided, dict[str, dict[str, bytes]]], name: str
) -> None:
    session, found, before = again
    assert len(before[name]) > 10
    STEPS[name](session, found, SILENT, Elsewhere())
    assert drawn(session.run.path / name) == before[name]


@pytest.mark.parametrize("name", STEPS)
def test_what_was_drawn_before_the_step_was_cut_off_is_not_drawn_again(
    again: tuple[Session, Decided, dict[str, dict[str, bytes]]], name: str
) -> None:
    session, found, before = again
    folder = session.run.path / name
    with pytest.raises(KeyboardInterrupt):
        STEPS[name](session, found, SILENT, CutOff())
    there = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert 0 < len(there) < len([file for file in before[name] if file.endswith(".png")])
    assert not (folder / "index.json").exists()
    STEPS[name](session, found, SILENT, SEQUENTIAL)
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert drawn(folder) == before[name]


def test_a_part_whose_picture_is_gone_or_whose_list_is_broken_is_drawn_again(
    again: tuple[Session, Decided, dict[str, dict[str, bytes]]],
) -> None:
    session, found, before = again
    for spoil in ("picture", "list"):
        with pytest.raises(KeyboardInterrupt):
            find_cues(session, found, SILENT, CutOff())
        (part,) = session.run.cues.glob("part-*.json")
        if spoil == "picture":
            next(session.run.cues.rglob("*.png")).unlink()
        else:
            part.write_text("{")
        find_cues(session, found, SILENT, Elsewhere())
        assert drawn(session.run.cues) == before["cues"]
        (session.run.cues / "index.json").unlink()


def test_other_scores_or_another_audit_make_other_parts(
    again: tuple[Session, Decided, dict[str, dict[str, bytes]]],
) -> None:
    session, _, _ = again
    part = exhibits.ExhibitPart(0, (), "these scores")
    paths = {
        part.path(session),
        dataclasses.replace(part, of="others").path(session),
        part.path(dataclasses.replace(session, key="another audit")),
    }
    assert len(paths) == 3


def test_a_part_that_a_worker_drew_in_another_folder_is_missed(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="see the run folder under the same path"):
        gathered([tmp_path / "part-00000-0123.json"], MeanMap, "mean maps")
