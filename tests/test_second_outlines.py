"""Suspicions that only wrong masks made fall; those of true shortcuts stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from auditing import Elsewhere, opened
from PIL import Image
from planted import CLASSES, write_dataset

from audit.dataset.mask_findings import MASK_COLUMNS
from audit.errors import ManifestError
from audit.findings import ClassFinding, Code, Reason, Verdict
from audit.measuring.columns import write_table_of
from audit.measuring.second_outlines import SECOND_COLUMNS, laid_over
from audit.pipeline import second_outlines, second_parts
from audit.pipeline.decide import decide
from audit.pipeline.donor_parts import gather_donors
from audit.pipeline.follow_up import follow_up
from audit.pipeline.masks import look_at_masks
from audit.pipeline.measure import gather_scores, score
from audit.pipeline.prepare import prepare
from audit.pipeline.second_outlines import measure_second_outlines
from audit.pipeline.session import Session
from audit.report.sentences import english
from audit.run_folder import RunFolder
from audit.verdicts.outlines import AGREEMENT, OtherOutlines

Drawn = Callable[[np.ndarray, np.random.Generator], np.ndarray]
QUICK = (
    "interventions.extra=[]",
    "interventions.donors=2",
    "verdict.minimum_images=8",
    "run.batch_size=64",
    "run.workers=1",
)


def redrawn(folder: Path, drawn: Drawn) -> None:
    """Draw every mask of a world anew."""
    random = np.random.default_rng(0)
    for number, path in enumerate(sorted((folder / "masks").rglob("*.png"))):
        mask = np.asarray(Image.open(path)) > 0
        if drawn is garbage and number % 10:
            continue
        Image.fromarray(np.where(drawn(mask, random), 255, 0).astype(np.uint8)).save(path)


def upper_half(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    rows = np.flatnonzero(mask.any(1))
    kept = mask.copy()
    kept[rows[0] + len(rows) // 2 :] = False
    return kept


def shifted(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.roll(mask, (4, 4), (0, 1))


def box(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    drawn = np.zeros_like(mask)
    drawn[max(0, rows[0] - 2) : rows[-1] + 3, max(0, columns[0] - 2) : columns[-1] + 3] = True
    return drawn


def other_object(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Something beside the object: all of that lies in the background."""
    drawn = np.zeros_like(mask)
    corners = [(0, 0), (0, 24), (24, 0), (24, 24)]
    top, left = min(corners, key=lambda c: mask[c[0] : c[0] + 8, c[1] : c[1] + 8].sum())
    drawn[top : top + 8, left : left + 8] = True
    return drawn & ~mask


def garbage(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Anything; one mask in ten."""
    drawn = np.zeros_like(mask)
    top, left = random.integers(0, 20, 2)
    drawn[top : top + random.integers(4, 12), left : left + random.integers(4, 12)] = True
    return drawn


def measured(manifest: Path, *overrides: str) -> Session:
    """A run that has come as far as its verdicts; nothing is drawn."""
    session = opened(manifest, manifest.parent / "run", *QUICK, *overrides)
    with session.loader:
        prepare(session)
        gather_donors(session)
        for shard in range(session.shards):
            score(session, shard)
        gather_scores(session)
        follow_up(session)
        measure_second_outlines(session)
    return session


def decided(session: Session) -> tuple[ClassFinding, ...]:
    return decide(session.run, session.manifest).findings.findings


def suspects(session: Session) -> list[str]:
    return sorted(f.label_name for f in decided(session) if f.verdict is Verdict.SUSPECT)


@pytest.mark.parametrize("drawn", [shifted, box, garbage])
def test_wrong_masks_accuse_no_class_of_an_honest_model(tmp_path: Path, drawn: Drawn) -> None:
    manifest = write_dataset(tmp_path, per_class=10)
    redrawn(tmp_path, drawn)
    assert suspects(measured(manifest)) == []


def test_half_masks_accuse_but_for_the_second_outline(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, per_class=10)
    redrawn(tmp_path, upper_half)
    session = measured(manifest)
    assert suspects(session) == []
    accused = set(pd.read_parquet(session.run.second_outlines)["label"])
    assert len(accused) >= 3
    for finding in decided(session):
        codes = [reason.code for reason in finding.reasons]
        assert (Code.DEPENDS_ON_OUTLINE in codes) == (finding.label in accused)
    # Without the second test half of the object, left behind, does accuse.
    without = opened(manifest, session.run.path, *QUICK, "foreground.second_outline=never")
    assert {f.label for f in decided(without) if f.verdict is Verdict.SUSPECT} == accused


def test_masks_of_another_object_accuse_nobody_and_it_is_said(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, per_class=10)
    redrawn(tmp_path, other_object)
    session = measured(manifest)
    watched = [f for f in decided(session) if f.verdict is Verdict.WATCH]
    assert suspects(session) == []
    assert watched
    assert {f.reasons[0].code for f in watched} == {Code.OBJECTS_ELSEWHERE}
    told = dict(watched[0].reasons[0])["values"]
    assert told["of"] == 6
    # A thing on grey is called something, too: one class in six.
    assert told["classes"] >= 5


def test_a_planted_shortcut_stays_suspect_and_is_measured_again_once(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=10)
    session = measured(manifest, "foreground.second_outline=always")
    run = session.run
    (finding,) = (f for f in decided(session) if f.verdict is Verdict.SUSPECT)
    assert finding.label_name == "bee"
    (said,) = [r for r in finding.reasons if r.code is Code.OUTLINES_AGREE]
    told = dict(said)["values"]
    assert told["given"] == finding.background_gap
    assert told["widened"] >= 0.10
    assert told["second"] is None
    table = pd.read_parquet(run.second_outlines)
    assert list(table.columns) == [*SECOND_COLUMNS.names, "run_id"]
    assert set(table["label"]) == {1}
    assert set(table["outline"]) == {"widened"}
    assert set(table["widened_by"]) == {4}
    before = run.second_outlines.read_bytes()
    assert measure_second_outlines(session) == 0
    run.second_outlines.unlink()
    assert measure_second_outlines(session) == 1
    assert run.second_outlines.read_bytes() == before
    scores = pd.read_parquet(run.scores)
    again = laid_over(scores, table)
    assert len(again) == len(scores)
    own = again[again["label"] == 1].set_index("sample_id")["swap_other_probability"]
    np.testing.assert_array_equal(own.loc[table["sample_id"]], table["swap_other_probability"])
    others = again[again["label"] != 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, scores[scores["label"] != 1].reset_index(drop=True))


def test_parts_measured_elsewhere_and_in_another_order_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pairs(_run: RunFolder, labels: tuple[int, ...]) -> pd.DataFrame:
        return pd.DataFrame({"label": labels, "donor_label": 0})

    found = [SimpleNamespace(label=label, verdict=Verdict.SUSPECT) for label in (1, 3)]
    monkeypatch.setattr(second_outlines, "find", lambda *_: found)
    monkeypatch.setattr(second_parts, "pairs_of", pairs)
    manifest = write_dataset(tmp_path, [1, 3], per_class=8)
    words = (*QUICK, "run.shard_size=400", "foreground.second_outline=always")
    here, there = (
        opened(manifest, tmp_path / "run", *words, f"run.runner={runner}")
        for runner in ("threads", "processes")
    )
    with here.loader:
        prepare(here)
        score(here, 0)
        gather_scores(here)
        assert measure_second_outlines(here) == 2
    tables = [here.run.second_outlines, here.run.second_follow_up]
    before = [path.read_bytes() for path in tables]
    assert all(set(pd.read_parquet(path)["label"]) == {1, 3} for path in tables)
    for path in tables:
        path.unlink()
    assert measure_second_outlines(there, runner=Elsewhere()) == 2
    assert [path.read_bytes() for path in tables] == before
    assert not here.run.second_outlines_parts.exists()


def test_an_effect_that_shrinks_with_the_outline_counts_by_masks_that_nobody_doubts_alone(
    tmp_path: Path,
) -> None:
    manifest = write_dataset(tmp_path, [], [0, 3], per_class=32)
    session = measured(manifest, "interventions.donors=4")
    assert CLASSES[0] in suspects(session)
    # The same numbers by the strict rule, which must call the class suspect again.
    strictly = ("interventions.donors=4", "foreground.second_outline=always")
    strict = opened(manifest, session.run.path, *QUICK, *strictly)
    (robbed,) = (f for f in decided(strict) if f.label_name == CLASSES[0])
    assert robbed.verdict is Verdict.WATCH
    assert robbed.reasons[0].code is Code.DEPENDS_ON_OUTLINE
    told = dict(robbed.reasons[0])["values"]
    assert 0 < told["widened"] < told["floor"] < told["given"]


def with_second_network(folder: Path) -> str:
    """An override: outlines as a perfect network draws them are the second ones."""
    name = f"second_{abs(hash(str(folder)))}"
    (folder / f"{name}.py").write_text(
        "import numpy as np\nfrom planted import OBJECTS, SCENES\n\n\n"
        "def outline(images):\n"
        "    pixels = images[:, :, :, None].astype(int)\n"
        "    near = [((pixels - c) ** 2).sum(-1).min(-1) for c in (OBJECTS, SCENES)]\n"
        "    return (near[0] < near[1]).astype(np.float32)\n"
    )
    return f"foreground.second_estimator={{function: '{name}:outline', side: 32}}"


def test_half_masks_are_held_against_a_network_where_one_is_named(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, per_class=10)
    redrawn(tmp_path, upper_half)
    session = measured(manifest, with_second_network(tmp_path))
    look_at_masks(session)
    again = pd.read_parquet(session.run.second_outlines)
    assert set(again["outline"]) == {"widened", "second"}
    assert suspects(session) == []
    agreed = decide(session.run, session.manifest).findings.findings
    assert all(0.3 < f.outline_agreement < AGREEMENT for f in agreed)


def test_a_planted_shortcut_survives_the_second_network(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=10)
    session = measured(manifest, with_second_network(tmp_path))
    look_at_masks(session)
    assert suspects(session) == ["bee"]
    (finding,) = (f for f in decided(session) if f.verdict is Verdict.SUSPECT)
    assert finding.outline_agreement > 0.95
    # Whose outlines bear it, whatever the rims of the masks say.
    without_a_lower_rim(session)
    assert suspects(session) == ["bee"]


def without_a_lower_rim(session: Session) -> None:
    """As if its masks were no rectangles, and below them nothing changed."""
    place = session.run.suspect_masks
    looked_at = pd.read_parquet(place)
    flat = looked_at.assign(
        filling=0.9,
        edges=[np.where(np.arange(28) // 7 == 1, 0.5, e) for e in looked_at["edges"]],
    )
    table = pa.Table.from_pandas(flat.drop(columns="run_id"), MASK_COLUMNS, preserve_index=False)
    write_table_of(session.run, place, table)


def test_masks_that_may_cut_their_objects_accuse_by_a_network_alone(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=10)
    session = measured(manifest)
    looked_at = pd.read_parquet(session.run.suspect_masks)
    assert list(looked_at.columns) == [*MASK_COLUMNS.names, "run_id"]
    assert set(looked_at["label_name"]) == {"bee"}
    assert suspects(session) == ["bee"]
    without_a_lower_rim(session)
    (watched,) = (f for f in decided(session) if f.label_name == "bee")
    assert watched.verdict is Verdict.WATCH
    assert watched.reasons[0].code is Code.OUTLINE_MAY_CUT
    assert dict(watched.reasons[0])["values"] == {"side": "down", "support": 0.5, "images": 10}
    assert "lower side" in english(watched.reasons[0])
    # Whoever switches other outlines off is asked for none.
    off = opened(manifest, session.run.path, *QUICK, "foreground.second_outline=never")
    assert suspects(off) == ["bee"]


def test_outlines_unlike_those_of_a_network_must_be_shown_again() -> None:
    some = pd.DataFrame()
    cut = Reason(code=Code.OUTLINE_MAY_CUT, values={"side": "up", "support": 0.5, "images": 9})
    others = OtherOutlines(some, some, False, {"a": 0.5, "b": 0.9}, {"c": cut})
    assert others.is_strict("a")
    assert others.is_strict("c")
    assert not others.is_strict("b")
    assert not others.is_strict("unknown")


def test_a_second_network_that_is_missing_is_said_before_the_work(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, per_class=2)
    with pytest.raises(ManifestError, match=r"foreground\.second_estimator"):
        opened(manifest, tmp_path / "run", "foreground.second_estimator=nothing.onnx")
