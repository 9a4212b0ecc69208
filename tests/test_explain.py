"""`audit.explain` with several methods: one model, one image, maps and pictures side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from planted import write_dataset

import audit
from audit.errors import ManifestError
from audit.pipeline import opening
from audit.pipeline.explain_pictures import save_pictures

METHODS = ["gradient", "gradcam", "gradient_rollout", "swap_map"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("explained"), [1], per_class=3)


@pytest.fixture(scope="module")
def loads() -> list[object]:
    return []


@pytest.fixture(scope="module")
def explained(manifest: Path, loads: list[object]) -> list[audit.Explanation]:
    """Of every method, while it is counted how often the model is loaded."""
    load = opening.load_model

    def counted(*given: Any) -> Any:
        loads.append(given)
        return load(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_model", counted)
        return audit.explain(manifest, "bee/001.png", method=METHODS, against="cat", device="cpu")


def test_the_model_is_loaded_once_for_all_methods(
    explained: list[audit.Explanation], loads: list[object]
) -> None:
    assert len(loads) == 1
    assert [(e.sample_id, e.explained, e.against) for e in explained] == [
        ("bee/001.png", "bee", "cat")
    ] * len(METHODS)


def test_each_map_is_that_of_its_method_alone(
    manifest: Path, explained: list[audit.Explanation]
) -> None:
    for method, beside in zip(METHODS[1::2], explained[1::2], strict=True):
        alone = audit.explain(manifest, "bee/001.png", method=method, against="cat", device="cpu")
        assert np.array_equal(alone.saliency, beside.saliency)
        assert np.array_equal(alone.overlay, beside.overlay)
        assert (alone.method, alone.in_place_of) == (beside.method, beside.in_place_of)
    assert [e.part_effects is not None for e in explained] == [False, False, False, True]


def test_a_method_that_cannot_serve_is_named_beside_the_one_in_its_place(
    explained: list[audit.Explanation],
) -> None:
    taken = explained[2]
    assert taken.method == "gradcam"
    assert taken.in_place_of == (
        "gradcam in place of gradient_rollout, since no layer of the network attends from all "
        "places to all of them"
    )
    assert explained[1].in_place_of == ""
    assert np.array_equal(taken.saliency, explained[1].saliency)


def test_a_name_that_is_none_is_found_before_any_image_is_read(manifest: Path) -> None:
    with pytest.raises(ManifestError, match=r"saliency\.method: expected .* found 'gradcan'"):
        audit.explain(manifest, "no such image", method=["rise", "gradcan"], device="cpu")
    with pytest.raises(ManifestError, match="expected the name of a saliency method"):
        audit.explain(manifest, "bee/001.png", method=[], device="cpu")


def test_pictures_stand_side_by_side(tmp_path: Path, explained: list[audit.Explanation]) -> None:
    save_pictures(tmp_path / "all.html", explained)
    text = (tmp_path / "all.html").read_text()
    assert "bee/001.png: what speaks for bee rather than cat" in text
    assert "gradcam in place of gradient_rollout, since no layer" in text
    save_pictures(tmp_path / "one.png", explained[0])
    with Image.open(tmp_path / "one.png") as drawn:
        assert np.array_equal(np.asarray(drawn), explained[0].overlay)
    save_pictures(tmp_path / "all.png", explained)
    with Image.open(tmp_path / "all.png") as drawn:
        assert drawn.size == (5 * (224 + 8) - 8, 224 + 24)
    save_pictures(tmp_path / "more.png", [*explained, explained[0]])
    with Image.open(tmp_path / "more.png") as drawn:
        pixels = np.asarray(drawn)
    # The image and five maps: the last stands at the beginning of a second row.
    assert pixels.shape[:2] == (2 * (224 + 24 + 8) - 8, 5 * (224 + 8) - 8)
    below = pixels[-224:, :224]
    assert np.array_equal(below[::7, ::7], explained[0].overlay)
