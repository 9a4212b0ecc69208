"""A bounded number of images of a class meets donors; every image has its map and its score."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from auditing import opened, scored
from planted import CLASSES, write_dataset

from audit.errors import ManifestError
from audit.manifest import load_manifest
from audit.pipeline.decide import decide
from audit.pipeline.session import Session


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """An audit of 23 images a class of which 20 meet donors; ``bee`` leans on its scene."""
    folder = tmp_path_factory.mktemp("bounded")
    manifest = write_dataset(folder, [1], per_class=23)
    scored(manifest, folder / "run", "interventions.images=20")
    return opened(manifest, folder / "run", "interventions.images=20")


def test_so_many_of_each_class_and_no_more(bounded: Session) -> None:
    scores = pd.read_parquet(bounded.run.scores)
    assert len(scores) == 23 * len(CLASSES)
    assert scores["foreground_mass"].notna().all()
    met = scores["swap_other_margin"].notna()
    for column in ("swap_same_margin", "background_only_margin", "object_only_margin"):
        assert (scores[column].notna() == met).all()
    assert scores[met].groupby("label").size().tolist() == [20] * len(CLASSES)
    assert frozenset(scores.index[met]) == bounded.swapped


def test_they_are_enough_for_the_verdict(bounded: Session) -> None:
    found = decide(bounded.run, bounded.manifest).findings.findings
    words = {finding.label_name: str(finding.verdict) for finding in found}
    # Nothing was followed up here, without which nothing is clear.
    assert words == {name: "suspect" if name == "bee" else "watch" for name in CLASSES}


def test_other_images_of_another_class_change_no_choice(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [], per_class=5)

    def choice() -> set[str]:
        few = ("interventions.images=2", "verdict.minimum_images=2")
        session = opened(manifest, tmp_path / "run", *few)
        return set(session.table.loc[sorted(session.swapped or ()), "sample_id"])

    before = choice()
    for sample in sorted(before):
        if sample.startswith("ant/"):
            (tmp_path / "images" / sample).unlink()
    after = choice()
    assert len(before) == len(after) == 2 * len(CLASSES)
    ants = {sample for sample in before | after if sample.startswith("ant/")}
    assert len(ants) == 4
    assert before - ants == after - ants


def test_what_is_asked_for_is_enough_or_refused(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [], per_class=2)

    def most(*overrides: str) -> int | None:
        return load_manifest(manifest, overrides).swapped_images

    assert (most(), most("interventions.images=all")) == (50, None)
    assert most("verdict.minimum_images=80") == 80
    assert opened(manifest).swapped is None
    with pytest.raises(ManifestError, match="every class would be inconclusive"):
        most("interventions.images=10")
    with pytest.raises(ManifestError, match="at least 2, found 1"):
        most("interventions.images=1")
