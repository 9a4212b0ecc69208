"""Parts say whose they are: what is damaged, or another's, is measured again and never mixed in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from auditing import opened
from planted import write_dataset

from audit.errors import AuditError
from audit.measuring.columns import table_of
from audit.pipeline import prepare as preparing
from audit.pipeline.measure import gather_donors, gather_scores, score
from audit.pipeline.prepare import prepare
from audit.pipeline.session import Session
from audit.run_folder import RunFolder


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Six classes of four images in three shards, all of them scored."""
    folder = tmp_path_factory.mktemp("parts")
    manifest = write_dataset(folder, [1], per_class=4)
    session = opened(manifest, folder / "run", "run.shard_size=8", "run.workers=1")
    prepare(session)
    gather_donors(session)
    for shard in range(session.shards):
        score(session, shard)
    gather_scores(session)
    return session


def cut(run: RunFolder) -> None:
    part = run.part(1)
    part.write_bytes(part.read_bytes()[:-200])


def flip(run: RunFolder) -> None:
    held = bytearray(run.part(1).read_bytes())
    place = held.index(b"cat/000.png")
    held[place] ^= 1
    run.part(1).write_bytes(held)


def swap(run: RunFolder) -> None:
    shutil.copy(run.part(0), run.part(1))


def edit(run: RunFolder) -> None:
    table = pq.read_table(run.part(1))
    pq.write_table(table.replace_schema_metadata(None), run.part(1))


def empty(run: RunFolder) -> None:
    run.part(1).write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, swap, edit, empty])
def test_a_damaged_part_is_measured_again_and_the_result_is_the_same(
    scored: Session, damage: Callable[[RunFolder], None]
) -> None:
    run = scored.run
    before, kept = run.scores.read_bytes(), run.part(0).stat().st_mtime_ns
    damage(run)
    with pytest.raises(AuditError, match=r"part-00001.parquet is damaged"):
        gather_scores(scored)
    assert [score(scored, shard) for shard in range(3)] == [False, True, False]
    gather_scores(scored)
    assert run.scores.read_bytes() == before
    assert run.part(0).stat().st_mtime_ns == kept


def test_a_part_of_another_audit_is_measured_again(scored: Session, tmp_path: Path) -> None:
    overrides = (*scored.request.overrides, "run.seed=3")
    other = opened(Path(scored.request.manifest), tmp_path / "run", *overrides)
    prepare(other)
    (other.run.path / "scores").mkdir()
    shutil.copy(scored.run.part(0), other.run.part(0))
    assert score(other, 0) is True


def test_an_image_that_a_busy_machine_did_not_decode_is_not_condemned(scored: Session) -> None:
    run, part = scored.run, scored.part(0)
    whole, before = run.scores.read_bytes(), part.path.read_bytes()
    rows = part.scores().to_pylist()
    lost = rows[2]
    keep = ("sample_id", "path", "label", "label_name")
    rows[2] = {name: lost[name] for name in keep} | {"status": "unreadable", "reason": "TIMEOUT"}
    rows[3] = {name: rows[3][name] for name in keep} | {"status": "unreadable", "reason": "MISSING"}
    part.write(table_of(rows))
    assert score(scored, 0) is False
    assert part.scores().to_pylist()[2] == lost
    assert part.scores().to_pylist()[3]["reason"] == "MISSING"
    part.path.write_bytes(before)
    gather_scores(scored)
    assert run.scores.read_bytes() == whole


def test_a_damaged_bank_of_backgrounds_is_made_again(scored: Session, tmp_path: Path) -> None:
    run = scored.run
    held = run.donors / "backgrounds.npy"
    before = held.read_bytes()
    held.write_bytes(before[: len(before) // 2])
    run.part(2).unlink()
    gather_donors(scored)
    assert held.read_bytes() == before
    assert score(scored, 2) is True


def test_a_run_cut_off_before_its_first_shard_goes_on(
    scored: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    again = scored.writing_into(folder)

    class Cut(BaseException):
        """As a kill, nothing in the code catches it."""

    def cut_off(*_: object) -> None:
        raise Cut

    for name in ("keep_style", "write_bytes", "write_table_of"):
        with monkeypatch.context() as patch:
            patch.setattr(preparing, name, cut_off)
            with pytest.raises(Cut):
                prepare(again)
        assert (folder / "run.json").exists()
    prepare(again, resume=False)
    assert (folder / "samples.parquet").exists()
