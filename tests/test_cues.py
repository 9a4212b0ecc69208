"""What is the cue: planted patches, alike crops and turned decisions, all counted by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
import torchvision
from auditing import opened
from drawing import foreground, ignored, maps
from PIL import Image
from planted import CLASSES, OBJECTS, SCENES, ColourCounter, write_dataset
from torch import nn

from audit.cues import regions
from audit.cues.class_contrast import contrast_maps, hardest
from audit.cues.clusters import assign, cluster, representatives
from audit.cues.features import feature_reader
from audit.cues.images import sampled
from audit.cues.swap_matrix import (
    Turned,
    TurningDonors,
    busiest,
    count_swaps,
    foreign_swaps,
    matrix_table,
    turning_donors,
)
from audit.dataset.batches import Batch
from audit.findings import Code, Cues, Reason
from audit.geometry import Geometry
from audit.measuring.plan import MeasurementPlan
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.pipeline import measure
from audit.pipeline.compose import compose
from audit.pipeline.cues import find_cues
from audit.pipeline.decide import Decided, decide
from audit.pipeline.prepare import prepare
from audit.pipeline.session import Session
from audit.saliency import class_scores

MASK = """
FFBBBB
FFBBBB
BBBBBB
BBBBBB
BBBBBB
BBBBBB
"""


def test_the_window_is_the_background_patch_with_most_evidence() -> None:
    saliency = maps(
        """
        990000
        990000
        000000
        000330
        000310
        100000
        """
    )
    background = regions.background_of(foreground(MASK), ignored(MASK), radius=0)
    windows = regions.find_windows(saliency, background, 2)
    assert windows.statuses == ("found",)
    assert windows.boxes.tolist() == [[3, 3, 5, 5]]
    assert windows.shares.tolist() == [10 / 47]


def test_neither_the_widened_object_nor_ignored_pixels_lend_evidence() -> None:
    saliency = maps(
        """
        990000
        990000
        007000
        000000
        000005
        800000
        """
    )
    unknown = ignored(
        """
        BBBBBB
        BBBBBB
        BBBBBB
        BBBBBB
        ..BBBB
        ..BBBB
        """
    )
    # Widened by one pixel the object takes the 7; the 8 is ignored; the 5 is left.
    background = regions.background_of(foreground(MASK), unknown, radius=1)
    windows = regions.find_windows(saliency, background, 2)
    assert windows.boxes.tolist() == [[3, 4, 5, 6]]
    assert windows.shares.tolist() == [5 / 56]


def test_three_quarters_of_a_window_must_be_background() -> None:
    mask = """
        FFBB
        FBBB
        FFFF
        FFFF
        """
    saliency = maps(
        """
        0000
        0900
        0000
        0000
        """
    )
    background = regions.background_of(foreground(mask), ignored(mask), radius=0)
    # Only two windows of four pixels hold three of the background; the left one holds the 9.
    assert regions.find_windows(saliency, background, 2).boxes.tolist() == [[0, 1, 2, 3]]


def test_without_a_window_there_is_a_reason() -> None:
    none, full, half = "BBBB\n" * 4, "FFFF\n" * 4, "FFBB\n" * 4
    masks, nothing = (none, full, half, none), ignored(none, none, none, none)
    background = regions.background_of(foreground(*masks), nothing, radius=0)
    saliency = maps("0000\n" * 4, "1111\n" * 4, "1100\n" * 4, "1111\n" * 4)
    saliency[3, 0, 0] = torch.nan
    windows = regions.find_windows(saliency, background, 2)
    assert windows.statuses == ("blank_map", "no_background", "no_evidence", "blank_map")
    assert windows.shares.isnan().all()
    assert windows.boxes.tolist() == [[0, 0, 0, 0]] * 4


def test_identical_crops_are_one_cluster_and_two_kinds_are_two() -> None:
    alike = np.tile([0.3, 0.1, 0.7], (7, 1))
    assert cluster(alike).members.tolist() == [0] * 7
    kinds = np.array([[1, 0, 0]] * 3 + [[0, 1, 0]] * 5, dtype=float)
    found = cluster(kinds)
    assert found.members.tolist() == [1] * 3 + [0] * 5
    assert found.silhouette == pytest.approx(1)
    assert representatives(kinds, found, 0, 2) == [3, 4]


def test_a_shapeless_cloud_stays_one_cluster() -> None:
    cloud = np.random.default_rng(0).normal(size=(40, 64))
    assert len(cluster(cloud)) == 1


def test_other_crops_join_the_nearest_cluster_or_none() -> None:
    kinds = np.array([[1, 0, 0], [1, 0.1, 0], [1, 0, 0.1], [0, 1, 0], [0, 1, 0], [0, 1, 0.1]])
    found = cluster(kinds)
    assert found.members.tolist() == [0, 0, 0, 1, 1, 1]
    # A copy of a member at twice the length, a stranger, and something of the second kind.
    assert assign([[2, 0.2, 0], [0, 0, 1], [0, 3, 0]], found).tolist() == [0, -1, 1]
    assert assign(np.zeros((0, 3)), found).tolist() == []


def _features(code: Code, layer: str) -> Reason:
    return Reason(code=code, values={"layer": layer})


def test_features_are_the_input_of_the_last_layer_at_any_batch_size() -> None:
    model = audited(ColourCounter([1]))
    images = torch.rand(5, 3, 32, 32)
    reader = feature_reader(model, images)
    together = reader.read(images)
    apart = torch.cat([reader.read(image[None]) for image in images])
    assert reader.source == _features(Code.FEATURES_LAST_LAYER_INPUT, "head")
    assert torch.equal(together, apart)
    torch.testing.assert_close(model.module.head(together), model(images))


class ChannelsLast(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.permute(0, 2, 3, 1)


def test_features_fall_back_and_say_so() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 16, 16)
    pooled = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(16), nn.Flatten())
    reader = feature_reader(audited(pooled), images)
    assert reader.read(images).shape == (2, 6)
    assert reader.source.code is Code.FEATURES_POOLED_LAYER
    last = nn.Sequential(nn.Conv2d(3, 6, 4, 4), ChannelsLast(), nn.Flatten())
    reader = feature_reader(audited(last), images)
    assert reader.source == _features(Code.FEATURES_POOLED_LAYER, "1")
    torch.testing.assert_close(reader.read(images), last[:2](images).mean((1, 2)))
    bare = nn.Sequential(nn.AvgPool2d(16), nn.Flatten())
    reader = feature_reader(audited(bare), images)
    assert reader.read(images).shape == (2, 3)
    assert reader.source == Reason(code=Code.FEATURES_CLASS_SCORES)


@pytest.mark.parametrize("resumed", [False, True])
def test_features_of_a_network_with_batch_norm_are_the_input_of_its_last_layer(
    resumed: bool,
) -> None:
    model = Engine(audited(torchvision.models.resnet18(num_classes=3)))
    images = torch.rand(2, 3, 32, 32)
    if not resumed:
        # A run that was interrupted comes to its cues before it asks for any class scores.
        class_scores(model, images)
    reader = feature_reader(model, images)
    assert reader.source == _features(Code.FEATURES_LAST_LAYER_INPUT, "fc")
    torch.testing.assert_close(model.module.fc(reader.read(images)), model(images))
    copy = model.folded(images[:1])
    assert copy is not model.model
    assert not any(m._forward_hooks for m in [*model.modules(), *copy.modules()])


def test_hooks_are_gone_after_an_exception() -> None:
    model = audited(ColourCounter())
    reader = feature_reader(model, torch.rand(1, 3, 32, 32))
    with pytest.raises(RuntimeError):
        reader.read(torch.rand(1, 5, 32, 32))
    assert sum(len(module._forward_hooks) for module in model.modules()) == 0


def audited(module: nn.Module) -> AuditedModel:
    names = CLASSES if isinstance(module, ColourCounter) else None
    geometry = Geometry(size=32, resize=None, crop="none")
    return AuditedModel(module, names, geometry, (0, 0, 0), (1, 1, 1))


def scores_table() -> pd.DataFrame:
    """Four images of three classes; every swap below is written out by hand."""

    def row(label, prediction, same, donors, rows, answers, probabilities, **more):
        return {
            "sample_id": f"s{label}{prediction}{same}",
            "label": label,
            "prediction": prediction,
            "swap_same_probability": same,
            "swap_other_donor_labels": donors,
            "swap_other_donor_rows": rows,
            "swap_other_predictions": answers,
            "swap_other_probabilities": probabilities,
            "status": "scored",
            "margin": 1.0,
        } | more

    return pd.DataFrame(
        [
            row(0, 0, 0.9, [1, 1, 2, 1], [10, 11, 20, 10], [1, 0, 0, 1], [0.1, 0.8, 0.9, 0.2]),
            row(0, 1, 0.5, [1, 1], [10, 11], [1, 1], [0.1, 0.1], margin=-2.0),
            row(2, 2, 0.8, [1, 0, 1], [10, 5, 11], [1, 2, 0], [0.3, 0.7, 0.1]),
            row(1, None, None, None, None, None, None, status="blank_map", margin=None),
        ]
    )


NAMES = {0: "cat", 1: "husky", 2: "wolf"}


def test_the_matrix_equals_hand_counts() -> None:
    matrix = count_swaps(scores_table(), NAMES).set_index(["label", "donor_label"])
    assert sorted(matrix.index) == [(0, 1), (0, 2), (2, 0), (2, 1)]
    # Image 1 was a husky to the model before any swap: it is lost, but did not become one.
    cat = matrix.loc[(0, 1)]
    assert (cat["swaps"], cat["became_donor"], cat["lost"]) == (5, 2, 4)
    assert cat["mean_lost_probability"] == pytest.approx((0.8 + 0.1 + 0.7 + 0.4 + 0.4) / 5)
    assert (cat["label_name"], cat["donor_name"]) == ("cat", "husky")
    wolf = matrix.loc[(2, 1)]
    assert (wolf["swaps"], wolf["became_donor"], wolf["lost"]) == (2, 1, 2)


def test_the_busiest_part_says_what_it_leaves_out() -> None:
    counted = count_swaps(scores_table(), NAMES)
    whole = busiest(counted)
    assert [c.label_name for c in whole.classes] == ["cat", "husky", "wolf"]
    assert [(c.swaps, c.lost) for c in whole.classes] == [(6, 4), (0, 0), (3, 2)]
    assert (whole.left_out, whole.swaps, whole.became_donor) == (0, 9, 3)
    assert len(whole.cells) == len(counted)
    part = busiest(counted, 2)
    assert [c.label_name for c in part.classes] == ["cat", "husky"]
    assert (part.left_out, part.became_donor, part.became_donor_shown) == (1, 3, 2)


def test_the_rates_of_donors_equal_hand_counts() -> None:
    found = turning_donors(foreign_swaps(scores_table()), 1)
    # Row 10 met four objects and turned three; row 11 met three and turned none.
    assert found == TurningDonors(
        swaps=7, became=3, affected=Turned(0, 5, 2), tried=2, donors=(Turned(10, 4, 3),)
    )


def test_scores_of_an_earlier_version_give_a_matrix_but_no_donors() -> None:
    old = scores_table().drop(columns="swap_other_donor_rows")
    assert len(count_swaps(old, NAMES)) == 4
    found = turning_donors(foreign_swaps(old), 1)
    assert (found.became, found.tried, found.donors) == (3, 0, ())


def test_without_swaps_the_matrix_is_empty_and_its_table_as_any_other() -> None:
    counted = count_swaps(scores_table().iloc[3:], NAMES)
    assert counted.empty
    assert busiest(counted).classes == ()
    whole = matrix_table(count_swaps(scores_table(), NAMES), "one")
    assert len(pa.concat_tables([matrix_table(counted, "none"), whole])) == 4


def test_images_are_chosen_by_seed_and_not_by_order() -> None:
    scores = pd.DataFrame(
        {
            "sample_id": [f"{i}.png" for i in range(100)],
            "label": [0, 1] * 50,
            "status": ["scored"] * 98 + ["unreadable"] * 2,
        }
    )
    chosen = sampled(scores, 0, seed=3)
    assert len(chosen) == 40
    assert chosen == sorted(chosen)
    assert all(scores.loc[row, "label"] == 0 and row < 98 for row in chosen)
    turned = scores.iloc[::-1].reset_index(drop=True)
    again = sampled(turned, 0, seed=3)
    assert {scores.loc[i, "sample_id"] for i in chosen} == {
        turned.loc[i, "sample_id"] for i in again
    }


def test_the_contrast_is_drawn_on_the_image_with_the_lowest_margin() -> None:
    scores = scores_table()
    assert hardest(scores[scores["label"] == 0]) == 1
    assert hardest(scores[scores["label"] == 1]) is None


def test_the_contrast_of_two_classes_lies_where_each_has_its_own_colour() -> None:
    """Left half in the scene of bee, right half in the object of ant."""
    model = Engine(audited(ColourCounter([1])))
    half = torch.zeros(32, 32, dtype=torch.bool)
    half[:, :16] = True
    colours = torch.from_numpy(np.stack([SCENES[1], OBJECTS[0]])).to(torch.uint8)
    image = torch.where(half, colours[0].view(3, 1, 1), colours[1].view(3, 1, 1))
    # One step beside the exact colour, where the counter's slope is not zero.
    image = (image.int() + 6).clamp(0, 255).to(torch.uint8)
    empty = torch.zeros(1, 32, 32, dtype=torch.bool)
    batch = Batch(
        image[None], empty, empty, torch.tensor([1]), empty[:, 0, 0], (0,), ("a",), ("bee",), (), ()
    )

    def falling(model, images, targets, *, seeds):
        """Where the score falls, and by how much, when the pixel is blackened."""
        found = torch.zeros(1, 32, 32)
        before = model(images)[0, targets[0]]
        for left in (0, 16):
            black = images.clone()
            black[..., left : left + 16] = 0
            found[..., left : left + 16] = (before - model(black)[0, targets[0]]).clamp_min(0)
        return found

    towards, away = contrast_maps(model, batch, MeasurementPlan(method=falling), label=1, other=0)
    assert bool((towards[0] > 0).equal(half))
    assert bool((away[0] > 0).equal(~half))


@pytest.fixture(scope="module")
def audited_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Decided]:
    """Steps of an audit in which ``bee`` and ``elk`` lean on their scenes, up to its findings."""
    manifest = write_dataset(tmp_path_factory.mktemp("cues"), [1, 4], per_class=20)
    (manifest.parent / "blank_method.py").write_text(
        "import torch\n\n\ndef blank(model, images, targets, *, seeds):\n"
        "    return torch.zeros(len(images), *images.shape[2:])\n"
    )
    session = opened(manifest, manifest.parent / "run")
    prepare(session)
    for shard in range(session.shards):
        measure.score(session, shard)
    measure.gather_scores(session)
    return session, decide(session.run, session.manifest)


def bee_of(session: Session, decided: Decided) -> Cues:
    found = {f.label_name: f.cues for f in compose(session.run, decided).findings if f.cues}
    assert set(found) == {"bee", "elk"}
    return found["bee"]


def test_the_planted_scene_is_the_cue(audited_run: tuple[Session, Decided]) -> None:
    session, decided = audited_run
    assert find_cues(session, decided) == 2
    cues = bee_of(session, decided)
    assert (cues.images, cues.contrast_class, cues.contrast_images) == (20, "elk", 20)
    assert (cues.clusters[0].seen.trials, cues.clusters[0].contrast.trials) == (20, 20)
    assert cues.clusters[0].seen.hits > 10
    assert cues.clusters[0].contrast.hits == 0
    trial = cues.clusters[0].trial
    assert trial is not None
    assert trial.target_class == cues.donors.affected.label_name if cues.donors.affected else "elk"
    assert trial.became.trials == trial.control.trials > 10
    assert trial.control.hits == 0
    assert (trial.raised.low or 0) > 0
    all_over = cues.clusters[0].trial_all_over
    assert all_over is not None
    assert (all_over.raised.low or 0) > (trial.raised.value or 0)
    effects = [cluster.effect for cluster in cues.clusters]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] == all_over.raised.value
    for crop in cues.clusters[0].crops:
        pixels = np.asarray(Image.open(session.run.path / crop.path))
        assert np.abs(pixels.mean((0, 1)) - SCENES[1]).max() < 6
    matrix = pd.read_parquet(session.run.swap_matrix)
    on_bee = matrix[matrix["donor_name"] == "bee"]
    assert cues.donors.became.trials == on_bee["swaps"].sum()
    assert cues.donors.became.hits == on_bee["became_donor"].sum()


def test_what_was_found_is_not_looked_for_again_unless_a_picture_is_gone(
    audited_run: tuple[Session, Decided],
) -> None:
    session, decided = audited_run
    find_cues(session, decided)
    crop = session.run.path / bee_of(session, decided).clusters[0].crops[0].path
    stamp = crop.stat().st_mtime_ns
    assert find_cues(session, decide(session.run, session.manifest)) == 2
    assert crop.stat().st_mtime_ns == stamp
    crop.unlink()
    find_cues(session, decided)
    assert crop.exists()


def test_blank_maps_give_no_cue_and_it_is_said(audited_run: tuple[Session, Decided]) -> None:
    session, decided = audited_run
    run = session.run
    blank = opened(Path(session.request.manifest), run.path, "saliency.method=blank_method:blank")
    shutil.rmtree(run.cues, ignore_errors=True)
    assert find_cues(blank, decided) == 2
    cues = bee_of(blank, decided)
    shutil.rmtree(run.cues)
    assert cues.clusters == ()
    counts = {"images": 20, "blank_map": 20, "no_evidence": 0, "no_background": 0}
    assert cues.notes == (
        Reason(code=Code.NO_CUE_FOUND),
        Reason(code=Code.IMAGES_WITHOUT_WINDOW, values=counts),
    )
    assert cues.contrast_maps is not None
    assert (cues.contrast_maps.towards, cues.contrast_maps.away) == (None, None)
    # The swaps do not depend on the maps.
    assert cues.donors.became.trials > 0
