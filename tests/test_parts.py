"""Parts say whose they are: what is damaged, or another's, is measured again and never mixed in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from auditing import Elsewhere, opened
from PIL import Image
from planted import SIDE, write_dataset

from audit.errors import AuditError
from audit.measuring.columns import table_of
from audit.pipeline import donor_parts
from audit.pipeline import prepare as preparing
from audit.pipeline.donor_parts import gather_donors
from audit.pipeline.measure import gather_scores, score
from audit.pipeline.prepare import prepare
from audit.pipeline.session import Session
from audit.pipeline.steps import Sequential
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


@pytest.fixture
def lenders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Session, dict[str, bytes]]:
    """Twenty-four images, one of which lends nothing, to be cut out by others in three parts; and
    the bank of one process."""
    manifest = write_dataset(tmp_path, [1], per_class=4)
    mask = tmp_path / "masks" / "cat" / "001.png"
    Image.new("L", (SIDE, SIDE)).save(mask)
    words = ("run.shard_size=8", "run.workers=1")
    whole = opened(manifest, tmp_path / "whole", *words)
    with whole.loader:
        prepare(whole)
        gather_donors(whole)
    monkeypatch.setattr(donor_parts, "AT_ONCE", 4)
    session = opened(manifest, tmp_path / "run", *words, "run.runner=processes")
    prepare(session)
    bank = {path.name: path.read_bytes() for path in whole.run.donors.iterdir()}
    assert len(pq.read_table(whole.run.donors / "donors.parquet")) == 23
    return session, bank


def bank_of(session: Session) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in session.run.donors.iterdir()}


def test_a_bank_that_others_cut_out_in_parts_is_the_same_to_the_last_byte(
    lenders: tuple[Session, dict[str, bytes]],
) -> None:
    session, bank = lenders
    with session.loader:
        gather_donors(session, runner=Elsewhere())
    assert bank_of(session) == bank


def test_backgrounds_cut_out_before_the_end_are_not_cut_out_again(
    lenders: tuple[Session, dict[str, bytes]],
) -> None:
    session, bank = lenders
    made: list[object] = []

    class Followed(Sequential):
        """Ends after the first part, once; says which parts it made."""

        def run_parts(self, name: str, make: Any, session: Any, progress: Any, parts: Any) -> None:
            for part in parts:
                made.append(make(session, part, progress))
                if len(made) == 1:
                    raise KeyboardInterrupt

    with session.loader:
        with pytest.raises(KeyboardInterrupt):
            gather_donors(session, runner=Followed())
        assert not (session.run.donors / "donors.parquet").exists()
        gather_donors(session, runner=Followed())
    assert made == [True, False, True, True]
    assert bank_of(session) == bank
