"""Planted truth, end to end: exactly the planted classes, whatever the batching."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from auditing import audited, opened, scored
from PIL import Image
from planted import CLASSES, write_dataset

from audit.cues.swap_matrix import MATRIX_COLUMNS
from audit.dataset.batches import iterate_batches
from audit.dataset.mask_findings import MASK_COLUMNS
from audit.dataset.sample_table import SAMPLE_COLUMNS
from audit.errors import InputError
from audit.findings import read_facts, read_findings
from audit.measuring.columns import RUN_ID, SCORE_COLUMNS
from audit.pipeline import measure, opening
from audit.pipeline.check import PROBE_IMAGES
from audit.pipeline.prepare import prepare
from audit.pipeline.runs import open_run
from audit.run_folder import RunFolder
from audit.sampling import spread_over
from audit.verdicts.tables import CLASS_COLUMNS, CONFUSION_COLUMNS


@pytest.fixture(scope="module")
def leaning(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunFolder]:
    """A dataset in which bee and elk lean on their scenes, audited."""
    folder = tmp_path_factory.mktemp("leaning")
    manifest = write_dataset(folder, [1, 4])
    return manifest, audited(manifest, folder / "run")


def verdicts(run: RunFolder) -> dict[str, str]:
    found = pd.read_parquet(run.classes)
    return dict(zip(found["label_name"], found["verdict"], strict=True))


def test_exactly_the_planted_classes_are_suspect(leaning: tuple[Path, RunFolder]) -> None:
    found = pd.read_parquet(leaning[1].classes).set_index("label_name")
    suspects = set(found.index[found["verdict"] == "suspect"])
    assert suspects == {"bee", "elk"}
    assert set(found.loc[list(suspects), "kind"]) == {"own_shortcut"}
    assert (found["verdict"] == "clear").sum() == len(CLASSES) - 2
    assert (found["precision"] == 1).all()


def test_the_maps_of_honest_classes_lie_on_their_objects(
    leaning: tuple[Path, RunFolder],
) -> None:
    found = pd.read_parquet(leaning[1].classes).set_index("label_name")
    assert (found.loc[["ant", "cat", "dog", "fox"], "foreground_mass"] > 0.99).all()
    assert (found.loc[["bee", "elk"], "mass_lift_high"] < 0).all()


def test_the_tables_keep_to_the_contract(leaning: tuple[Path, RunFolder]) -> None:
    run = leaning[1]
    scores = pq.read_table(run.scores)
    assert scores.schema.names == SCORE_COLUMNS.names
    assert len(scores) == 24 * len(CLASSES)
    for path, columns in (
        (run.classes, CLASS_COLUMNS),
        (run.confusions, CONFUSION_COLUMNS),
        (run.swap_matrix, MATRIX_COLUMNS),
        (run.samples, SAMPLE_COLUMNS.append(RUN_ID)),
        (run.masks, MASK_COLUMNS.append(RUN_ID)),
    ):
        assert pq.read_schema(path).equals(columns), path.name
    findings = read_findings(run.findings)
    assert [f.verdict.value for f in findings.findings[:2]] == ["suspect", "suspect"]
    assert findings.summary.suspect == 2
    assert findings.controls[0].passed is True
    facts = read_facts(run.run_json)
    assert facts.counts.found == facts.counts.scored == len(scores)
    assert len(facts.fingerprint) == 64
    assert facts.run_id == findings.run_id
    # Not the scores: equal input gives equal bytes there, whichever run wrote them.
    tables = {path for path in run.path.rglob("*.parquet") if path.parent.name != "scores"}
    assert tables > {run.classes, run.confusions, run.swap_matrix, run.samples, run.masks}
    for path in tables - {run.scores}:
        whose = pq.read_table(path)["run_id"].to_pylist()
        assert whose == [facts.run_id] * len(whose), path.name


@pytest.mark.parametrize("override", ["run.batch_size=7", "run.shard_size=11", "run.workers=1"])
def test_scores_are_the_same_to_the_last_byte_however_they_were_batched(
    leaning: tuple[Path, RunFolder], tmp_path: Path, override: str
) -> None:
    manifest, first = leaning
    again = scored(manifest, tmp_path / "run", override)
    assert again.scores.read_bytes() == first.scores.read_bytes()


def test_scores_are_the_same_to_the_last_byte_on_any_number_of_threads(
    leaning: tuple[Path, RunFolder], tmp_path: Path
) -> None:
    manifest, first = leaning
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads == 3 else 3)
    try:
        again = scored(manifest, tmp_path / "run")
    finally:
        torch.set_num_threads(threads)
    assert again.scores.read_bytes() == first.scores.read_bytes()


def test_a_finished_shard_is_not_computed_twice(leaning: tuple[Path, RunFolder]) -> None:
    manifest, run = leaning
    again = opened(manifest, run.path)
    before = run.scores.read_bytes()
    stamp = run.part(1).stat().st_mtime_ns
    assert measure.score(again, 1) is False
    run.part(0).unlink()
    assert measure.score(again, 0) is True
    measure.gather_scores(again)
    assert run.part(1).stat().st_mtime_ns == stamp
    assert run.scores.read_bytes() == before


def test_another_seed_draws_other_donors(leaning: tuple[Path, RunFolder], tmp_path: Path) -> None:
    manifest, first = leaning
    other = audited(manifest, tmp_path / "run", "run.seed=1")
    column = "swap_other_margins"
    one, two = (pd.read_parquet(r.scores)[column] for r in (first, other))
    assert not all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert verdicts(other) == verdicts(first)


def test_donors_are_never_the_image_itself_nor_of_the_wrong_class(
    leaning: tuple[Path, RunFolder],
) -> None:
    scores = pd.read_parquet(leaning[1].scores)
    for label, donors in zip(scores["label"], scores["swap_other_donor_labels"], strict=True):
        assert label not in set(donors)
        assert len(donors) == 4


def test_a_folder_of_another_audit_is_refused(
    leaning: tuple[Path, RunFolder],
) -> None:
    manifest, first = leaning
    with pytest.raises(InputError, match="holds another audit"):
        prepare(opened(manifest, first.path, "saliency.method=gradcam"))
    # Of another audit nothing is touched; other thresholds are the same audit.
    assert read_facts(first.run_json).status == "complete"
    prepare(opened(manifest, first.path, "verdict.effect=0.5"))
    assert sorted(p.name for p in (first.path / "scores").iterdir())[-1] == "part-00002.parquet"


def test_masks_replaced_between_a_crash_and_its_resume_make_another_audit(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [], per_class=2)
    before = opened(manifest).key
    assert opened(manifest, "", "verdict.effect=0.2").key == before
    mask = tmp_path / "masks" / "ant" / "000.png"
    Image.new("L", (32, 32), 255).save(mask)
    replaced = opened(manifest).key
    assert replaced != before
    mask.unlink()
    assert opened(manifest).key not in (before, replaced)


def test_a_mask_that_changes_during_the_run_is_named(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [], per_class=2)
    session = opened(manifest, tmp_path / "run")
    with session.loader as loader:
        prepare(session)
        Image.new("L", (32, 32), 255).save(tmp_path / "masks" / "ant" / "000.png", dpi=(1, 1))
        (batch,) = iterate_batches(session.table.head(2), loader, 2)
    changed, kept = (one.foreground_problem for one in batch.loaded)
    assert changed.startswith("MASK_CHANGED_DURING_RUN")
    assert not kept


def test_bad_files_are_rows_and_end_the_word_clear(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [])
    images, masks = tmp_path / "images", tmp_path / "masks"
    (images / "ant" / "000.png").write_bytes(b"not an image")
    (images / "ant" / "001.png").write_bytes(b"")
    Image.new("L", (9, 9)).save(masks / "bee" / "002.png")
    Image.new("L", (32, 32)).save(masks / "bee" / "003.png")
    Image.new("L", (32, 32), 255).save(masks / "cat" / "004.png")
    (masks / "cat" / "005.png").unlink()
    (images / "dog" / "notes.txt").write_text("x")
    (images / "gnu").mkdir()
    (tmp_path / "classes.txt").write_text("\n".join([*CLASSES]))
    with pytest.raises(InputError, match="'gnu'"):
        audited(manifest, tmp_path / "run", "model.classes=classes.txt")
    (images / "gnu").rmdir()
    run = audited(manifest, tmp_path / "run", "model.classes=classes.txt")
    scores = pd.read_parquet(run.scores).set_index("sample_id")
    problems = pd.read_csv(run.problems, dtype=str, keep_default_na=False)
    assert len(scores) == 24 * 6
    expected = {
        "ant/000.png": ("unreadable", "NOT_AN_ALLOWED_IMAGE"),
        "ant/001.png": ("unreadable", "NOT_AN_ALLOWED_IMAGE"),
        "bee/002.png": ("no_foreground", "MASK_SIZE"),
        "bee/003.png": ("no_foreground", "NO_FOREGROUND"),
        "cat/004.png": ("full_foreground", "FULL_FOREGROUND"),
        "cat/005.png": ("no_foreground", "NO_MASK"),
    }
    for sample_id, (status, reason) in expected.items():
        assert scores.loc[sample_id, "status"] == status
        assert scores.loc[sample_id, "reason"] == reason
        assert reason in set(problems.loc[problems["sample_id"] == sample_id, "reason"])
    assert "dog/notes.txt" in set(problems["path"])
    # 22 of 24 is below the least coverage of 0.95, so no class of this run is called clear.
    assert "clear" not in set(verdicts(run).values())
    assert read_findings(run.findings).summary.complete is False


def test_classes_without_a_usable_mask_are_inconclusive_and_the_others_judged(
    tmp_path: Path,
) -> None:
    # More images of a class than are filled at once, so that a whole batch has no hole.
    manifest = write_dataset(tmp_path, [1, 4], per_class=40)
    masks = tmp_path / "masks"
    shutil.rmtree(masks / "ant")
    for path in (masks / "cat").iterdir():
        Image.new("L", (32, 32)).save(path)
    for path in (masks / "dog").iterdir():
        Image.new("L", (32, 32), 255).save(path)
    run = audited(manifest, tmp_path / "run")
    found = verdicts(run)
    assert {found[name] for name in ("ant", "cat", "dog")} == {"inconclusive"}
    assert found["bee"] == found["elk"] == "suspect"
    scores = pd.read_parquet(run.scores)
    reasons = scores.groupby("label_name")["reason"].agg(set)
    assert reasons["ant"] == {"NO_MASK"}
    assert reasons["cat"] == {"NO_FOREGROUND"}
    assert reasons["dog"] == {"FULL_FOREGROUND"}


def test_without_foregrounds_the_audit_runs_and_says_what_it_cannot(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1])
    run = audited(manifest, tmp_path / "run", "foreground.source=none")
    assert set(verdicts(run).values()) == {"inconclusive"}
    scores = pd.read_parquet(run.scores)
    assert set(scores["status"]) == {"no_foreground"}
    assert scores["foreground_mass"].isna().all()
    assert scores["prediction"].notna().all()


def test_new_thresholds_need_no_model(
    leaning: tuple[Path, RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, run = leaning

    def refuse(*_: Any) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr(opening, "load_model", refuse)
    before = run.scores.read_bytes()
    done = open_run(run.path)
    done.report(overrides={"verdict.effect": 0.95})
    assert done.findings.summary.suspect == 0
    (page,) = done.report(manifest)
    assert page.name == "report.html"
    assert done.findings.summary.suspect == 2
    assert run.scores.read_bytes() == before


def test_a_run_of_a_former_release_has_fewer_columns_and_the_same_verdicts(
    leaning: tuple[Path, RunFolder], tmp_path: Path
) -> None:
    _, run = leaning
    former = RunFolder(tmp_path / "former")
    shutil.copytree(run.path, former.path)
    later = ["swap_same_donor_rows", "swap_same_donor_hashes", "swap_other_donor_hashes"]
    pq.write_table(pq.read_table(run.scores).drop_columns(later), former.scores)
    open_run(former.path).report()
    assert verdicts(former) == verdicts(run)


def test_a_limit_is_spread_over_the_classes(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [])
    run = audited(manifest, tmp_path / "run", limit=20)
    counts = pd.read_parquet(run.scores)["label"].value_counts()
    assert counts.sum() == 20
    assert counts.max() - counts.min() <= 1


def test_a_model_with_shuffled_class_names_is_stopped(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [])
    (tmp_path / "classes.txt").write_text("\n".join([*CLASSES[1:], CLASSES[0]]))
    with pytest.raises(InputError, match="LABEL_MAP_SUSPECT"):
        audited(manifest, tmp_path / "run", "model.classes=classes.txt")


def test_memory_that_does_not_suffice_halves_the_batch(
    leaning: tuple[Path, RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from audit.measuring import memory

    real, tried = memory.measure_batch, []

    def tight(model: Any, batch: Any, plan: Any, bank: Any) -> Any:
        tried.append(len(batch))
        if len(batch) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, batch, plan, bank)

    monkeypatch.setattr(memory, "measure_batch", tight)
    manifest, first = leaning
    again = scored(manifest, tmp_path / "run")
    assert again.scores.read_bytes() == first.scores.read_bytes()
    # Found once, and kept for all batches after it.
    assert [count for count in tried if count > 5] == [32, 16, 8]
    assert tried[3] == 4


def test_an_image_that_does_not_fit_alone_has_a_row_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from audit.measuring import memory

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(memory, "measure_batch", full)
    manifest = write_dataset(tmp_path, [], per_class=2)
    run = audited(manifest, tmp_path / "run", "cmv.classes=none")
    scores = pd.read_parquet(run.scores)
    assert (scores["reason"] == "OUT_OF_MEMORY").all()
    assert len(scores) == 2 * len(CLASSES)
    classes = pd.read_parquet(run.classes)
    assert (classes["verdict"] == "inconclusive").all()


def test_a_boundary_band_counts_for_neither_side_of_the_map(
    leaning: tuple[Path, RunFolder], tmp_path: Path
) -> None:
    manifest, run = leaning
    other = scored(manifest, tmp_path / "run", "foreground.boundary_tolerance=0.0625")
    plain, doubting = (pd.read_parquet(r.scores) for r in (run, other))
    assert (doubting["foreground_area"] < plain["foreground_area"]).all()
    swaps = [c for c in SCORE_COLUMNS.names if c.startswith("swap_")]
    pd.testing.assert_frame_equal(plain[swaps], doubting[swaps])


def test_a_narrower_and_a_wider_outline_stand_beside_the_lift(
    leaning: tuple[Path, RunFolder],
) -> None:
    scores = pd.read_parquet(leaning[1].scores)
    honest = scores[scores["label_name"].isin(["ant", "cat"])]
    # All mass on the object: the wider the outline, the less a lift that is.
    assert (honest["mass_lift_eroded"] < honest["mass_lift"]).all()
    assert (honest["mass_lift_dilated"] <= honest["mass_lift"]).all()


def test_the_further_experiments_can_be_left_out(
    leaning: tuple[Path, RunFolder], tmp_path: Path
) -> None:
    manifest, run = leaning
    scores = pd.read_parquet(run.scores)
    assert scores["foreground_noise_prediction"].notna().all()
    assert scores["background_shuffled_margin"].notna().all()
    bare = audited(manifest, tmp_path / "run", "interventions.extra=[]")
    without = pd.read_parquet(bare.scores)
    assert without["foreground_noise_prediction"].isna().all()
    assert pd.read_parquet(bare.classes)["rfs"].isna().all()
    pd.testing.assert_series_equal(scores["swap_other_margin"], without["swap_other_margin"])


def test_an_image_on_which_the_model_gives_nan_is_named_and_its_neighbours_keep_their_numbers(
    leaning: tuple[Path, RunFolder], tmp_path: Path
) -> None:
    manifest = write_dataset(tmp_path, [1, 4])
    broken: list[Path] = []
    for path in sorted((tmp_path / "images" / "cat").iterdir()):
        whole_picture = path.read_bytes()
        picture = np.array(Image.open(path))
        mask = np.array(Image.open(tmp_path / "masks" / "cat" / path.name)) > 0
        # One white pixel of the object, which no swap brings into another image.
        picture[tuple(np.argwhere(mask)[len(np.argwhere(mask)) // 2])] = 255
        Image.fromarray(picture).save(path)
        table = opened(manifest).table
        tried = spread_over(table, PROBE_IMAGES, 0, "limit", column="label")["sample_id"]
        # Not among those on which the model is tried first, which are chosen by what they hold.
        if f"cat/{path.name}" in set(tried):
            path.write_bytes(whole_picture)
        elif len(broken := [*broken, path]) == 2:
            break
    (tmp_path / "moody_loader.py").write_text(
        "from planted import ColourCounter\n\n\n"
        "class Moody(ColourCounter):\n"
        "    def forward(self, images):\n"
        "        white = (images.amin(1) > 0.999).flatten(1).any(1)\n"
        "        return super().forward(images).masked_fill(white[:, None], float('nan'))\n\n\n"
        "def load():\n    return Moody([1, 4])\n"
    )
    run = audited(manifest, tmp_path / "run", "model.loader=moody_loader:load")
    scores = pd.read_parquet(run.scores).set_index("sample_id")
    named = scores[scores["status"] == "not_finite"]
    assert set(named.index) == {f"cat/{path.name}" for path in broken}
    assert set(named["reason"]) == {"NOT_FINITE"}
    experiments = ("swap_", "object_only_", "background_only_")
    tried = [name for name in SCORE_COLUMNS.names if name.startswith(experiments)]
    assert named[[*tried, "prediction", "probability", "margin"]].isna().all(axis=None)
    others = scores.drop(named.index)
    assert others["swap_other_probability"].notna().all()
    whole = pd.read_parquet(leaning[1].scores).set_index("sample_id").drop(named.index)
    # The donors differ, since two of them do; the rest knows nothing of the two.
    same = [name for name in others if not name.startswith("swap_")]
    pd.testing.assert_frame_equal(others[same], whole[same], check_dtype=False)
