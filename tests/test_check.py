"""`check` finds what would go wrong later, and says what will be missing."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
from auditing import opened
from PIL import Image
from planted import CLASSES, write_dataset

import audit
from audit.errors import RunFolderError
from audit.pipeline import costs
from audit.pipeline.cmv_costs import CmvWork, cmv_work
from audit.pipeline.costs import UnitCosts, check_room, memory_bytes, seconds_a_step


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_dataset(tmp_path, [], per_class=3)


def checked(manifest: Path, *overrides: str) -> audit.CheckResult:
    return audit.check(manifest, device="cpu", overrides=("run.workers=1", *overrides))


def test_one_batch_goes_through_model_map_and_swap(manifest: Path) -> None:
    formats = "report.formats=[html, junit, fiftyone]"
    found = checked(manifest, "verdict.minimum_images=2", formats)
    assert found.expected_steps["fiftyone"] >= 0
    assert (found.tried, found.unreadable_tried, found.accuracy_tried) == (18, 0, 1.0)
    assert found.swapped_tried == 6
    assert found.limits == ()
    (warning,) = found.warnings
    assert warning == (
        "18 of 18 masks are rectangles: boxes, which hold background in their corners."
    )
    first = found.per_class[0]
    assert (first.label_name, first.images, first.outlined) == ("ant", 3, 3)
    assert (first.right, first.with_foreground) == (3, 3)
    assert first.area == pytest.approx(0.14, abs=0.06)
    assert found.expected_seconds == pytest.approx(sum(found.expected_steps.values()), abs=0.5)
    assert {"scores", "follow-up", "controls", "cmvs", "cues", "report"} <= {*found.expected_steps}


def test_without_a_single_mask_it_says_what_will_be_missing(manifest: Path) -> None:
    found = checked(manifest, "foreground.pattern='{stem}_object.png'")
    assert found.swapped_tried == 0
    assert any("18 of 18 images bring no outline" in said for said in found.warnings)
    assert any("18 images tried have no foreground (NO_MASK 18)" in w for w in found.warnings)
    assert found.limits[0].startswith("no image tried has a usable foreground: no background")
    none = checked(manifest, "foreground.source=none")
    assert none.limits[0].startswith("no foregrounds: no background can be exchanged")


def test_what_is_wrong_with_one_class_is_named(manifest: Path) -> None:
    folder = manifest.parent
    shutil.rmtree(folder / "masks" / "bee")
    Image.new("L", (32, 32), 255).save(folder / "masks" / "cat" / "000.png")
    (folder / "images" / "dog" / "000.png").write_bytes(b"no image")
    for path in (folder / "masks" / "fox").iterdir():
        Image.new("L", (32, 32), 255).save(path)
    found = checked(manifest, "verdict.minimum_images=3")
    bee, _, dog = (c for c in found.per_class if c.label_name in ("bee", "cat", "dog"))
    assert (bee.outlined, bee.with_foreground, bee.area) == (0, 0, None)
    assert (dog.unreadable, dog.right) == (1, 2)
    assert any(said.startswith("bee: without usable foregrounds") for said in found.limits)
    # All that is tried of another class covers its picture; what is not tried may not.
    assert any(said.startswith("fox: most or all of the 3 images tried") for said in found.limits)
    assert any("1 of 18 images tried cannot be read (NOT_AN_ALLOWED" in w for w in found.warnings)


def test_too_few_images_everywhere_is_a_limit(manifest: Path) -> None:
    found = checked(manifest)
    assert len([w for w in found.warnings if "3 of the 20 images" in w]) == len(CLASSES)
    assert found.limits == (
        "every class has too few images for a verdict, so all end inconclusive",
    )


def test_costs_grow_with_what_is_asked_for(manifest: Path) -> None:
    unit = UnitCosts(background=0.1, image=2.0, map=0.5, forward=0.1)

    def seconds(*overrides: str) -> dict[str, float]:
        session = opened(manifest, "", *overrides)
        return seconds_a_step(session, unit, cmv_work(session))

    steps = seconds("report.formats=[]", "cmv.classes=all")
    assert steps["scores"] == 2.0 * 18
    assert steps["donors"] == pytest.approx(0.1 * 18)
    assert steps["report"] == 0
    # Six labels have their places in two batches of four, or twice in one, and each of their
    # pictures is asked about 22 times when it is done. One in ten is thought to be suspect.
    every = seconds("report.formats=[]", "cmv.classes=all", "cmv.brief=false")
    assert every["cmvs"] == pytest.approx((8 * 2 * 128 * 3 + 12 * 22) * 0.1)
    mean, alone = (128 + 5 * 96) / 6, 4
    brief = (round(8 * mean) + alone * 128) * 3 + 7 * 22
    assert steps["cmvs"] == pytest.approx(brief * 0.1)
    fewer = seconds("cmv.classes=none", "foreground.source=none")
    assert fewer["cmvs"] == fewer["donors"] == fewer["follow-up"] == 0
    # Maps are tried without swaps, too, unless that is left out.
    assert 0 < fewer["controls"] < steps["controls"]
    assert seconds("foreground.source=none", "saliency.checked=false")["controls"] == 0


def test_memory_is_that_of_the_trial_and_of_what_is_larger_then(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(manifest, "", "run.workers=2", "run.batch_size=4")
    monkeypatch.setattr(costs.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=2**20))
    side = session.model.geometry.size
    always = 2**30 + 2 * costs._CHILD_BYTES + costs._PREFECT_BYTES
    batch = 4 * 3 * side**2 * 4 * costs._COPIES

    def memory(kept_bytes: int, work: CmvWork) -> int:
        return memory_bytes(session, UnitCosts(0, 0, 0, 0, kept_bytes), work)

    assert memory(0, CmvWork(0, 0, 0.0)) == always + batch
    # Eight pictures of half the side climb at once; twice what each keeps is alive then.
    assert memory(10 * batch, CmvWork(1, 8, 0.25)) == always + 2 * 8 * 10 * batch // 4
    assert memory(1, CmvWork(1, 8, 0.25)) == always + batch


def test_a_disk_without_room_is_refused_before_work_begins(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(manifest)
    check_room(session, manifest.parent)
    disk = namedtuple("disk", "f_bavail f_frsize f_files f_favail")
    monkeypatch.setattr(costs.os, "statvfs", lambda _: disk(256, 4096, 1000, 999))
    with pytest.raises(RunFolderError, match="MiB of disk and 1 MiB are free. Make room"):
        check_room(session, manifest.parent)
    monkeypatch.setattr(costs.os, "statvfs", lambda _: disk(2**30, 4096, 1000, 3))
    with pytest.raises(RunFolderError, match="takes only 3 more files"):
        check_room(session, manifest.parent)
