from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import planted
import pytest

import audit
from audit.errors import ModelError
from audit.models.label_order import better_outputs, order_complaint
from flows.cli import main

NAMES = [f"class {k}" for k in range(12)]


def of_each(classes: int, images: int) -> np.ndarray:
    return np.repeat(np.arange(classes), images)


def wrong_now_and_then(labels: np.ndarray, outputs: int, share: float, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.where(
        draw.random(len(labels)) < share, draw.integers(0, outputs, len(labels)), labels
    )


def test_two_classes_the_wrong_way_round_are_seen_on_few_images() -> None:
    labels = of_each(2, 5)
    assert better_outputs(labels, 1 - labels) == {0: 1, 1: 0}
    said = order_complaint(labels, 1 - labels, ["husky", "wolf"])
    assert "LABEL_MAP_SUSPECT: of 10 images of 2 classes the model answers 0 as declared" in said
    assert "but 10 once" in said
    assert said.endswith("A better order: wolf, husky.")


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_any_permutation_is_found_through_some_errors(classes: int) -> None:
    labels = of_each(classes, 64 // classes)
    for seed in range(10):
        order = np.roll(np.arange(classes), 1)
        predictions = order[wrong_now_and_then(labels, classes, 0.3, seed)]
        found = better_outputs(labels, predictions)
        assert found == dict(enumerate(order.tolist()))


def test_two_of_twelve_and_a_subset_of_a_thousand_are_found() -> None:
    labels = of_each(12, 5)
    swapped = labels.copy()
    swapped[labels == 3], swapped[labels == 7] = 7, 3
    assert better_outputs(labels, swapped) == {3: 7, 7: 3}
    assert "the model answers 0 as declared, but 10" in order_complaint(labels, swapped, NAMES)
    few = np.repeat([10, 500, 999], 8)
    shifted = few - 1
    assert better_outputs(few, shifted) == {10: 9, 500: 499, 999: 998}
    many = [str(k) for k in range(1000)]
    assert "By the answers output 9 is '10', output 499 is '500'" in order_complaint(
        few, shifted, many
    )


def test_a_class_that_is_alone_is_judged_by_guessing() -> None:
    labels = np.zeros(32, dtype=np.int64)
    said = order_complaint(labels, labels + 4, NAMES)
    assert "ACCURACY_AT_CHANCE: the model is right on 0 of 32 images, and guessing gives 3" in said
    assert "It answers 'class 4' to 32 of them" in said
    assert order_complaint(labels, np.where(np.arange(32) < 12, 0, 4), NAMES) == ""


def test_models_as_they_are_raise_no_complaint() -> None:
    for classes, share in ((2, 0.4), (3, 0.5), (12, 0.7), (64, 0.5)):
        labels = of_each(classes, 64 // classes)
        for seed in range(20):
            predictions = wrong_now_and_then(labels, classes, share, seed)
            names = [str(k) for k in range(classes)]
            assert order_complaint(labels, predictions, names) == "", (classes, seed)
    # Two dogs that are taken for each other half of the time.
    labels = of_each(12, 5)
    confused = labels.copy()
    confused[[15, 16, 17, 35, 36, 37]] = [7, 7, 7, 3, 3, 3]
    assert order_complaint(labels, confused, NAMES) == ""


@pytest.mark.parametrize("classes", [2, 12, 60])
def test_guessing_stops_and_is_not_taken_for_another_order(classes: int) -> None:
    labels = of_each(classes, 120 // classes)
    complaints = [
        order_complaint(
            labels,
            np.random.default_rng(seed).integers(0, classes, len(labels)),
            [str(k) for k in range(classes)],
        )
        for seed in range(40)
    ]
    # Each test errs at a level of 5 %.
    assert sum("ACCURACY_AT_CHANCE" in said for said in complaints) >= 34
    assert sum("LABEL_MAP_SUSPECT" in said for said in complaints) <= 4
    same = np.zeros(len(labels), dtype=np.int64)
    assert "It answers '0' to 120" in order_complaint(
        labels, same, [str(k) for k in range(classes)]
    )


def test_few_images_prove_nothing() -> None:
    labels = of_each(3, 2)
    assert order_complaint(labels, np.roll(labels, 2), list("abc")) == ""
    assert order_complaint(labels[:0], labels[:0], list("abc")) == ""


def test_check_and_run_stop_where_two_classes_are_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = planted.write_dataset(tmp_path, per_class=12)
    for name in planted.CLASSES[2:]:
        shutil.rmtree(tmp_path / "images" / name)
    (tmp_path / "classes.txt").write_text("bee\nant\ncat\ndog\nelk\nfox\n")
    swapped = {"model.classes": "classes.txt", "report.formats": []}
    with pytest.raises(ModelError, match=r"better order: ant, bee, cat, dog, elk, fox\. To audit"):
        audit.check(manifest, overrides=swapped)
    with pytest.raises(ModelError, match="LABEL_MAP_SUSPECT"):
        audit.run(manifest, tmp_path / "run", overrides=swapped)
    assert not (tmp_path / "run" / "scores").exists()
    assert audit.check(manifest, overrides=swapped, accept_accuracy=True).accuracy_tried == 0
    for command in (["check"], ["run", "--out", str(tmp_path / "run")]):
        asked = [*command, str(manifest), "--device", "cpu", "--set", "model.classes=classes.txt"]
        monkeypatch.setattr(sys, "argv", ["saliency-audit", *asked])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "--accept-accuracy" in capsys.readouterr().err
