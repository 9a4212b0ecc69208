"""Class model visualizations as files: resumed, taken over, with metadata, asked of two models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from auditing import Elsewhere, opened
from PIL import Image
from planted import CLASSES, write_dataset

from audit.cmv import CmvRequest
from audit.errors import AuditError, ManifestError
from audit.pipeline import cmv_orders, cmv_parts, cmv_pictures
from audit.pipeline.cmv_material import Material, check_second
from audit.pipeline.cmv_orders import orders_of
from audit.pipeline.cmv_pictures import draw_cmvs
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT
from audit.pipeline.session import Session
from audit.report.sentences import english
from audit.run_folder import RunFolder

NAMES = dict(enumerate(CLASSES[:3]))
RIVALS = {0: 1, 1: 2, 2: 0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_dataset(tmp_path, [1], per_class=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def session_of(folder: Path, *overrides: str) -> Session:
    steps = ("cmv.steps=3", "cmv.recipes=[robust]", "cmv.objectives=[logit]")
    return opened(folder / "data_manifest.yaml", "", *steps, *overrides)


def draw(folder: Path, out: str, *overrides: str, **options: Any) -> list[dict[str, Any]]:
    session = session_of(folder, *overrides)
    material = Material(session, options.get("rivals", {}))
    chosen = options.get("classes", {0: "ant", 1: "bee"})
    orders = orders_of(session.manifest.cmv, chosen)
    return draw_cmvs(RunFolder(folder / out), chosen, orders, material)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Which classes were climbed, call by call."""
    calls: list[list[int]] = []
    plain = cmv_parts.visualize_classes

    def counted(model: Any, classes: list[int], request: CmvRequest, **options: Any) -> Any:
        calls.append(list(classes))
        return plain(model, classes, request, **options)

    monkeypatch.setattr(cmv_parts, "visualize_classes", counted)
    return calls


def test_a_picture_carries_its_origin(folder: Path) -> None:
    (entry, _) = draw(folder, "run")
    with Image.open(folder / "run" / entry.path) as picture:
        told = picture.text  # type: ignore[attr-defined]
    assert told["class"] == "ant"
    assert told["recipe"] == "robust"
    assert told["objective"] == "logit"
    assert told["seed"] == "0"
    assert told["model_sha256"] == session_of(folder).model.sha256
    with Image.open(folder / "run" / entry.strip) as strip:
        assert strip.size == (2 * 32, 32)
    assert entry.strip_steps == (1, 3)
    # Three steps reach nothing, and it says so.
    assert entry.failure is not None
    assert told["status"] == english(entry.failure)
    assert told["status"].startswith("Failed")


def test_a_class_that_is_not_suspect_gets_one_picture_in_fewer_steps(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cmv_orders, "BRIEF_STEPS", 2)
    session = session_of(folder, "cmv.objectives=[logit, softmax]")
    orders = orders_of(session.manifest.cmv, [0], brief=[1, 2])
    made = draw_cmvs(RunFolder(folder / "run"), session.labels, orders, Material(session))
    assert [(e.label, e.objective, e.steps) for e in made] == [
        (0, "logit", 3),
        (0, "softmax", 3),
        (1, "logit", 2),
        (2, "logit", 2),
    ]
    # Beside others of more steps it is the picture that it is alone.
    two = draw(folder, "alone", "cmv.steps=2", classes={1: "bee"})
    assert two == [made[2]]


def test_what_was_made_is_not_made_again(folder: Path, made: list[list[int]]) -> None:
    first = draw(folder, "run")
    assert draw(folder, "run") == first
    assert made == [[0, 1]]
    # An interrupted step goes on with what is missing.
    (folder / "run" / first[0].path).unlink()
    assert draw(folder, "run") == first
    assert made == [[0, 1], [0]]


def test_a_run_takes_over_what_the_last_one_made_of_the_same_model(
    folder: Path, made: list[list[int]]
) -> None:
    first = draw(folder, "monday")
    assert draw(folder, "tuesday", classes=dict(enumerate(CLASSES[:3])))[:2] == first
    assert made == [[0, 1], [2]]
    for path in (first[0].path, first[0].strip):
        assert (folder / "tuesday" / path).read_bytes() == (folder / "monday" / path).read_bytes()
    draw(folder, "wednesday", "cmv.steps=4")
    draw(folder, "thursday", "run.seed=1")
    assert made[2:] == [[0, 1], [0, 1]]


def test_pictures_made_elsewhere_and_in_another_order_are_the_same_to_the_last_byte(
    folder: Path, monkeypatch: pytest.MonkeyPatch, made: list[list[int]]
) -> None:
    monkeypatch.setattr(cmv_pictures, "_CPU_CLASSES", 2)
    here = draw(folder, "here/run", "cmv.objectives=[contrast]", classes=NAMES, rivals=RIVALS)
    words = ("cmv.steps=3", "cmv.objectives=[contrast]", "run.runner=processes")
    session = opened(folder / "data_manifest.yaml", folder / "there" / "run", *words)
    with session.loader:
        prepare(session)
    material, runner = Material(session, RIVALS), Elsewhere()
    there = draw_cmvs(
        session.run, NAMES, orders_of(session.manifest.cmv, NAMES), material, runner=runner
    )
    assert made == [[0, 1, 2], [2], [0, 1]]
    assert [entry.model_dump() for entry in there] == [entry.model_dump() for entry in here]
    own, others = (folder / where / "run" / "cmv" for where in ("here", "there"))
    assert {path.name: path.read_bytes() for path in own.iterdir()} == {
        path.name: path.read_bytes() for path in others.iterdir()
    }


def test_parts_of_an_attempt_that_was_cut_off_are_taken_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, made: list[list[int]]
) -> None:
    class Killed(Elsewhere):
        def run_parts(self, name: str, make: Any, session: Session, *more: Any) -> None:
            *_, parts = more
            make(session, next(iter(parts)), SILENT)
            raise KeyboardInterrupt

    monkeypatch.setattr(cmv_pictures, "_CPU_CLASSES", 1)
    session = session_of(folder, "run.runner=processes")
    run, material = RunFolder(folder / "run"), Material(session)
    with pytest.raises(KeyboardInterrupt):
        draw_cmvs(run, NAMES, orders_of(session.manifest.cmv, NAMES), material, runner=Killed())
    drawn = draw_cmvs(run, NAMES, orders_of(session.manifest.cmv, NAMES), material)
    assert made == [[0], [1], [2]]
    assert [entry.label for entry in drawn] == [0, 1, 2]
    assert not list(run.cmv.glob("part-*"))


def test_pictures_that_were_made_in_another_place_are_missed(folder: Path) -> None:
    class Away(Elsewhere):
        def run_parts(self, *_: Any) -> None:
            """Its workers write into a folder of their own."""

    session = session_of(folder)
    with pytest.raises(AuditError, match="2 pictures were made and are not in .*, such as that of"):
        draw_cmvs(
            RunFolder(folder / "run"),
            {0: "ant", 1: "bee"},
            orders_of(session.manifest.cmv, [0, 1]),
            Material(session),
            runner=Away(),
        )


def test_an_index_that_is_not_ours_is_left_alone(folder: Path, made: list[list[int]]) -> None:
    for name, content in (("a", "no json"), ("b", '[{"label": 0}]'), ("c", "{}")):
        (folder / name / "cmv").mkdir(parents=True)
        (folder / name / "cmv" / "index.json").write_text(content)
    (entry, _) = draw(folder, "run")
    held = json.loads((folder / "run" / "cmv" / "index.json").read_text())
    held[0]["path"] = "../outside.png"
    (folder / "outside.png").write_bytes(b"x")
    (folder / "run" / "cmv" / "index.json").write_text(json.dumps(held))
    (again, _) = draw(folder, "run")
    assert again.path == entry.path
    assert made == [[0, 1], [0, 1]]


def test_maco_takes_its_amplitudes_from_the_dataset(folder: Path, made: list[list[int]]) -> None:
    first = draw(folder, "a", "cmv.recipes=[maco]")
    image = folder / "images" / "ant" / "000.png"
    Image.new("RGB", (32, 32), "white").save(image)
    os.utime(image, (1, 1))
    draw(folder, "b", "cmv.recipes=[maco]", "name=changed")
    assert len(made) == 2
    one, other = (folder / run / first[0].path for run in ("a", "b"))
    assert one.read_bytes() != other.read_bytes()


def test_several_pictures_of_a_class(folder: Path, made: list[list[int]]) -> None:
    entries = draw(folder, "run", "cmv.objectives=[diversity]", classes={3: "dog"})
    assert [e.variant for e in entries] == [0, 1, 2, 3]
    assert len({e.path for e in entries}) == 4
    assert [e.strip is None for e in entries] == [False, True, True, True]
    draw(folder, "run", "cmv.objectives=[diversity]", classes={3: "dog"})
    assert made == [[3]]


def test_contrast_names_its_rival(folder: Path) -> None:
    (entry,) = draw(folder, "run", "cmv.objectives=[contrast]", classes={0: "ant"}, rivals={0: 2})
    assert entry.rival == "cat"


def test_a_second_model_is_asked(folder: Path) -> None:
    loader = session_of(folder).manifest.model.loader
    second = f"cmv.transfer={{loader: '{loader}', input: {{size: 32, crop: none}}}}"
    entries = draw(folder, "run", second)
    assert all(1 <= e.transfer_rank <= len(CLASSES) for e in entries)
    # By name, in whatever order the second knows them.
    (folder / "names.txt").write_text("zebra\nyak\nn02206856-Bee\nant\nx\ny\n")
    named = f"cmv.transfer={{loader: '{loader}', classes: names.txt}}"
    asked = Material(session_of(folder, named)).second
    assert asked is not None
    assert asked.labels == {0: 3, 1: 2}


def test_a_second_model_must_share_classes(folder: Path) -> None:
    loader = session_of(folder).manifest.model.loader
    (folder / "names.txt").write_text("a\nb\nc\nd\ne\nf\n")
    named = f"cmv.transfer={{loader: '{loader}', classes: names.txt}}"
    with pytest.raises(ManifestError, match="shares no class name"):
        _ = Material(session_of(folder, named)).second
    # Said before the work begins; nobody is asked where no CMV is made.
    check_second(session_of(folder, named))
    with pytest.raises(ManifestError, match="shares no class name"):
        check_second(session_of(folder, named, "cmv.classes=all"))
    with pytest.raises(ManifestError, match=r"cmv\.transfer\.input\.sise: unknown key"):
        session_of(folder, f"cmv.transfer={{loader: '{loader}', input: {{sise: 3}}}}")


def test_images_have_the_size_of_the_pictures(folder: Path) -> None:
    images = Material(session_of(folder, "cmv.size=20")).images()
    assert images.shape == (18, 3, 20, 20)
    assert images.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize(
    ("model", "asked", "side"),
    [
        # Colours are counted alike in a small picture.
        ("AnySize", "null", 128),
        ("AnySize", "96", 96),
        ("OneSize", "null", 160),
        # An answer that hangs on the size is not read at another.
        ("BySize", "null", 160),
    ],
)
def test_pictures_are_smaller_where_the_model_reads_them_as_well(
    tmp_path: Path, model: str, asked: str, side: int
) -> None:
    manifest = write_dataset(tmp_path, [], per_class=2)
    (tmp_path / "sized.py").write_text(
        "from planted import ColourCounter\n\n\n"
        "class AnySize(ColourCounter):\n    pass\n\n\n"
        "class OneSize(ColourCounter):\n"
        "    def forward(self, images):\n"
        "        assert images.shape[-1] == 160\n"
        "        return super().forward(images)\n\n\n"
        "class BySize(ColourCounter):\n"
        "    def forward(self, images):\n"
        "        return super().forward(images).roll(images.shape[-1] // 160, 1)\n"
    )
    settings = (f"model.loader=sized:{model}", "model.input.size=160", f"cmv.size={asked}")
    assert Material(opened(manifest, "", *settings)).side == side
