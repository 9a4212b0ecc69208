from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from auditing import audited
from planted import CLASSES, ColourCounter, leaner, write_dataset
from record import finding, findings
from safetensors.torch import load_file, save_file

import audit
from audit.errors import RepairError, RunFolderError
from audit.findings import (
    Answers,
    CueCluster,
    CueDonors,
    Cues,
    Rate,
    RepairedClass,
    RepairOutcome,
    SplitPart,
    Verdict,
    read_repair,
)
from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.repairs.counter_examples import group_table, wanted_photographs
from audit.repairs.fitting import fit
from audit.repairs.head import Head, Linear, find_head
from audit.repairs.material import Material, Picture
from audit.repairs.quality import own_loss, quality
from audit.repairs.refit import refit
from audit.repairs.split import fold_images, split_images
from audit.repairs.weights import write_weights
from audit.report.sentences.repairs import repair_outcome

PER_CLASS = 20


def with_weights(folder: Path, planted: tuple[int, ...], suffix: str, prefix: str = "") -> Path:
    """A planted dataset whose network lies in a file of weights; returns the manifest."""
    manifest = leaner(write_dataset(folder, planted, per_class=PER_CLASS))
    state = {f"{prefix}{k}": v for k, v in ColourCounter(planted).state_dict().items()}
    weights = folder / f"model{suffix}"
    if suffix == ".safetensors":
        save_file(state, weights, {"made": "by hand"})
    else:
        torch.save({"epoch": 3, "state_dict": state, "classes": list(CLASSES)}, weights)
    name = f"planted_from_file_{suffix[1:]}"
    (folder / f"{name}.py").write_text(
        "from audit.models.checkpoints import load_checkpoint\n"
        "from planted import ColourCounter\n\n\n"
        "def load(*, weights):\n"
        "    (entry,) = load_checkpoint(weights).entries.values()\n"
        f"    state = {{k.removeprefix({prefix!r}): v for k, v in entry.state.items()}}\n"
        "    network = ColourCounter()\n"
        "    network.load_state_dict(state)\n"
        "    return network\n"
    )
    declared = yaml.safe_load(manifest.read_text())
    declared["model"] |= {"loader": f"{name}:load", "weights": weights.name}
    declared |= {"report": {"formats": [], "title": "Bees?"}}
    manifest.write_text(yaml.safe_dump(declared))
    return manifest


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A planted shortcut, audited and repaired once for many truths."""
    folder = tmp_path_factory.mktemp("planted")
    manifest = with_weights(folder, (1, 4), ".safetensors", "model.")
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    run = audited(manifest, folder / "run")
    found = audit.repair(run.path, manifest, folder / "better", device="cpu")
    return {"folder": folder, "run": run, "found": found, "manifest": manifest, "old": weights}


def test_the_planted_shortcut_is_gone_and_nothing_else_is_worse(repaired: dict[str, Any]) -> None:
    found = repaired["found"]
    assert found.outcome is RepairOutcome.REPAIRED
    assert {c.label_name for c in found.with_verdicts(Verdict.SUSPECT, after=False)} == {
        "bee",
        "elk",
    }
    assert found.with_verdicts(Verdict.SUSPECT, after=True) == ()
    assert found.worse == ()
    assert found.after.worst == 1.0 > found.before.worst
    assert all(abs(c.gap_after.value) < 0.05 for c in found.classes)
    assert found.after.clean >= found.before.clean - 0.01


def test_what_a_repair_brought_is_said_and_what_it_may_have_cost_others(
    repaired: dict[str, Any],
) -> None:
    found = repaired["found"]
    assert found.refit.other_classes == 0
    said = repair_outcome(found)
    assert "no class is suspect instead of 2" in said[0]
    assert said[-1] == "No class got clearly worse."
    # A thousand classes, of which the six of the dataset were refitted.
    others = found.refit.model_copy(update={"other_classes": 994})
    calm = [c.model_copy(update={"verdict_before": Verdict.WATCH}) for c in found.classes]
    said = repair_outcome(found.model_copy(update={"refit": others, "classes": tuple(calm)}))
    assert "no class is suspect, with the old last layer or with another" in said[0]
    assert said[-1].startswith("The model has 994 classes without an image here.")


def test_no_content_and_no_donor_is_in_two_parts(repaired: dict[str, Any]) -> None:
    folder = repaired["folder"]
    split = pd.read_csv(folder / "better" / "split.csv").set_index("sample_id")["part"]
    scores = pd.read_parquet(folder / "better" / "after" / "scores.parquet")
    assert set(scores["sample_id"]) == set(split.index[split == SplitPart.PROOF])
    made = pd.read_csv(folder / "better" / "counter_examples.csv")
    assert len(made) == repaired["found"].counter_examples > 0
    assert (split[made["object"]].to_numpy() == made["part"]).all()
    assert (split[made["donor"]].to_numpy() == made["part"]).all()
    assert SplitPart.PROOF not in set(made["part"])


def test_counter_examples_are_an_image_folder_that_the_old_model_gets_wrong(
    repaired: dict[str, Any],
) -> None:
    from torchvision.datasets import ImageFolder

    found = ImageFolder(repaired["folder"] / "better" / "counter_examples")
    network = ColourCounter((1, 4)).eval()
    images = np.stack([np.asarray(image) for image, _ in found]).astype(np.float32) / 255
    with torch.no_grad():
        answers = network(torch.from_numpy(images).permute(0, 3, 1, 2)).argmax(1)
    labels = torch.tensor([CLASSES.index(found.classes[k]) for _, k in found.samples])
    # As PNG a picture is rounded, which may turn a close call.
    assert float((answers != labels).float().mean()) > 0.95


def test_the_new_file_is_a_drop_in(repaired: dict[str, Any]) -> None:
    folder = repaired["folder"]
    old, new = (
        load_file(folder / "model.safetensors"),
        load_file(folder / "better" / "model.safetensors"),
    )
    assert list(old) == list(new)
    assert {k for k in old if not torch.equal(old[k], new[k])} == {"model.head.weight"}
    assert repaired["found"].replaced == ("model.head.weight",)
    assert (
        hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == repaired["old"]
    )


def test_the_reports_of_the_proof_can_be_told_apart(repaired: dict[str, Any]) -> None:
    for when in ("before", "after"):
        path = repaired["folder"] / "better" / f"proof-{when}.yaml"
        assert yaml.safe_load(path.read_text())["report"]["title"] == f"Bees? ({when} the repair)"


def test_the_new_manifest_is_of_the_new_weights_and_all_images(repaired: dict[str, Any]) -> None:
    path = repaired["folder"] / "better" / "manifest.yaml"
    found = audit.check(path, device="cpu")
    assert found.images == PER_CLASS * len(CLASSES)


def test_the_record_is_read_back_as_it_was_written(repaired: dict[str, Any]) -> None:
    folder = repaired["folder"] / "better"
    assert read_repair(folder / "repair.json") == repaired["found"]
    shown = read_repair(folder / "after" / "repair.json")
    assert shown is not None
    assert shown.classes == repaired["found"].classes
    for picture in shown.changed:
        assert (folder / "after" / picture.path).exists()
        assert picture.before_name != picture.after_name


def test_groups_say_whose_background_suffices(repaired: dict[str, Any]) -> None:
    groups = pd.read_csv(repaired["folder"] / "better" / "groups.csv")
    planted = groups["label_name"].isin(["bee", "elk"])
    assert groups.loc[planted, "cue_present"].mean() > 0.95
    assert groups.loc[~planted, "cue_present"].mean() < 0.5
    assert (groups["group"] == 2 * groups["label"] + groups["cue_present"]).all()
    wanted = pd.read_csv(repaired["folder"] / "better" / "to_photograph.csv")
    assert set(wanted.loc[wanted["why"] == "own_shortcut", "object_class"]) == {"bee", "elk"}


def test_a_torch_file_keeps_its_entries(tmp_path: Path) -> None:
    old = ColourCounter((1,))
    half = {f"module.{k}": v.half() for k, v in old.state_dict().items()}
    source = {"epoch": 3, "state_dict": half, "ema": dict(half), "classes": list(CLASSES)}
    torch.save(source, tmp_path / "old.pt")
    weight = half["module.head.weight"].float()
    head = Head("head", False, Linear(weight, torch.zeros(6)), lambda images: images)
    keys = write_weights(
        tmp_path / "old.pt", tmp_path / "new.pt", head, Linear(weight + 1, torch.zeros(6))
    )
    new = torch.load(tmp_path / "new.pt", weights_only=True)
    assert keys == ("state_dict.module.head.weight", "ema.module.head.weight")
    assert list(new) == list(source)
    assert new["epoch"] == 3
    assert new["state_dict"]["module.head.weight"].dtype == torch.float16
    assert torch.equal(new["state_dict"]["module.head.weight"].float(), (weight + 1).half().float())
    assert torch.equal(new["ema"]["module.match.bias"], half["module.match.bias"])


def test_what_cannot_be_repaired_is_said_and_exported(
    repaired: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, manifest = repaired["run"].path, repaired["manifest"]
    monkeypatch.setattr("audit.pipeline.repair_source.LEAST_IMAGES", PER_CLASS + 1)
    with pytest.raises(RepairError, match=rf"too few images.* bee \({PER_CLASS}\)"):
        audit.repair(run, manifest, tmp_path / "few", device="cpu")
    for name in ("counter_examples.csv", "groups.csv", "to_photograph.csv"):
        written = (tmp_path / "few" / name).read_bytes()
        assert written == (repaired["folder"] / "better" / name).read_bytes()
    assert not (tmp_path / "few" / "repair.json").exists()


def test_a_folder_or_a_manifest_of_something_else_is_refused(
    repaired: dict[str, Any], tmp_path: Path
) -> None:
    run, manifest = repaired["run"].path, repaired["manifest"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match="not the folder of a repair"):
        audit.repair(run, manifest, tmp_path / "mine", device="cpu")
    other = with_weights(tmp_path / "other", (2,), ".pt")
    with pytest.raises(RunFolderError, match="another model"):
        audit.repair(run, other, tmp_path / "out", device="cpu")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["thesis.txt"]
    better = repaired["folder"] / "better"
    with pytest.raises(RunFolderError, match="holds the weights that would be repaired"):
        audit.repair(better / "after", better / "proof-after.yaml", better, device="cpu")


def test_a_layer_that_something_follows_on_is_not_refitted() -> None:
    class Rectified(ColourCounter):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.relu(super().forward(images) - 1)

    def engine(network: torch.nn.Module) -> Engine:
        return Engine(AuditedModel(network, CLASSES, Geometry(32), (0, 0, 0), (1, 1, 1)))

    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    head = find_head(engine(ColourCounter((1,))), images)
    assert head.name == "head"
    assert not head.has_bias
    with pytest.raises(RepairError, match="something follows on it"):
        find_head(engine(Rectified((1,))), images)
    headless = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 8, 8), torch.nn.ReLU())
    pooled = torch.nn.Sequential(headless, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with pytest.raises(RepairError, match="no last linear layer"):
        find_head(engine(pooled), images)


def test_a_1x1_convolution_before_the_average_counts_as_a_last_layer() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 6, 1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )
    model = AuditedModel(network, CLASSES, Geometry(32), (0, 0, 0), (1, 1, 1))
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    head = find_head(Engine(model), images)
    assert (head.name, head.has_bias) == ("2", True)
    assert torch.allclose(head.linear.scores(head.read(images)), model(images), atol=1e-5)


def test_copies_go_to_one_part_whatever_they_are_labelled() -> None:
    count = 200
    scores = pd.DataFrame(
        {
            "sample_id": [f"{i}" for i in range(count)],
            "label": [i % 4 for i in range(count)],
            # Every content stands there twice, under two labels.
            "sha256": [None if i == 7 else f"{i // 2}" for i in range(count)],
        }
    )
    parts = split_images(scores, 0)
    assert 7 not in parts.index
    contents = scores.loc[parts.index, "sha256"]
    assert parts.groupby(contents).agg(set).map(len).eq(1).all()
    shares = parts.value_counts(normalize=True)
    assert shares[SplitPart.PROOF] == pytest.approx(0.5, abs=0.02)
    assert not parts.equals(split_images(scores, 1))
    shuffled = split_images(scores.sample(frac=1, random_state=0), 0)
    assert parts.groupby(contents).first().equals(shuffled.sort_index().groupby(contents).first())


def test_a_large_penalty_keeps_the_layer_and_a_small_one_separates() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    vectors = torch.randn(60, 5, generator=random) + 4 * torch.eye(3, 5)[labels]
    table = pd.DataFrame({"picture": "swap_other", "label": labels.numpy(), "row": range(60)})
    material = Material(table, vectors)
    old = Linear(torch.randn(3, 5, generator=random), torch.zeros(3))
    weights = torch.full((60,), 1 / 60, dtype=torch.float64)
    kept = fit(old, material, weights, 1e6)
    assert torch.allclose(kept.weight, old.weight, atol=1e-4)
    far = fit(old, material, weights, 1e-6)
    assert quality(far.scores(vectors), material).worst == 1.0
    # The minimum is where the gradient is zero, wherever it was begun.
    again = fit(old, material, weights, 1e-2, far)
    assert torch.allclose(fit(old, material, weights, 1e-2).weight, again.weight, atol=1e-2)


def test_classes_without_pictures_keep_their_weights_and_count_in_the_loss() -> None:
    random = torch.Generator().manual_seed(1)
    labels = torch.tensor([4, 1])[torch.arange(40) % 2]
    vectors = torch.randn(40, 3, generator=random, dtype=torch.float64)
    table = pd.DataFrame({"picture": "swap_other", "label": labels.numpy(), "row": range(40)})
    old = Linear(torch.randn(6, 3, generator=random), torch.randn(6, generator=random))
    weights = torch.full((40,), 1 / 40, dtype=torch.float64)
    found = fit(old, Material(table, vectors), weights, 1e-3)
    others = [0, 2, 3, 5]
    assert torch.equal(found.weight[others], old.weight[others])
    assert torch.equal(found.bias[others], old.bias[others])
    # At the minimum the loss over all six classes leads nowhere in the rows that were refitted.
    scale = vectors.square().sum(1).mean().sqrt()
    weight, bias = found.weight.double(), found.bias.double()
    weight.requires_grad_(True)
    each = torch.nn.functional.cross_entropy(vectors @ weight.T + bias, labels)
    away = ((weight - old.weight) * scale).square().sum()
    slope = torch.autograd.grad(each + 1e-3 * away, weight)[0] / scale
    assert slope[[1, 4]].abs().max() < 1e-4 < slope[others].abs().max()


def _leaning(rows: range, random: torch.Generator) -> Material:
    """Three classes, seen dimly in features 0 to 2; their backgrounds shine in features 3 to 5."""
    pictures, vectors = [], []
    for row in rows:
        label = row % 3
        seen = 2 * torch.eye(3)[label] + 0.7 * torch.randn(3, generator=random)
        donors = [(-1, label), *((other, other % 3) for other in rows if other != row)]
        for donor, where in donors:
            kind = Picture.SWAP_SAME if where == label else Picture.SWAP_OTHER
            kind = Picture.ORIGINAL if donor == -1 else kind
            pictures.append({"picture": kind.value, "label": label, "row": row, "donor_row": donor})
            vectors.append(torch.cat([seen, 3 * torch.eye(3)[where]]))
    return Material(pd.DataFrame(pictures), torch.stack(vectors))


def test_a_refit_is_judged_on_images_and_backgrounds_that_it_never_met() -> None:
    random = torch.Generator().manual_seed(1)
    parts = [_leaning(range(start, start + 12), random) for start in (0, 12)]
    folds = pd.Series([row // 6 for row in range(24)])
    old = Linear(torch.cat([torch.eye(3), 2 * torch.eye(3)], 1), torch.zeros(3))
    found = refit(old, parts, folds, 0.01)
    assert found.choice is not None
    assert found.before.worst == 0.0
    assert found.after.worst > 0.5
    fresh = _leaning(range(24, 36), random)
    assert quality(found.linear.scores(fresh.vectors), fresh).worst > 0.5


def test_what_is_lost_on_own_backgrounds_counts_a_photograph_as_all_its_swaps() -> None:
    kinds = ["original", "swap_same", "swap_same", "swap_other"]
    table = pd.DataFrame({"picture": kinds * 2, "label": 0, "row": [0] * 4 + [1] * 4})
    material = Material(table, torch.zeros(8, 1))
    right, wrong = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    before = right.repeat(8, 1)
    after = torch.stack([wrong, right, right, wrong, right, wrong, right, wrong])
    loss, error = own_loss(before, after, material)
    # Of the first image half, of the second a quarter.
    assert loss == pytest.approx(0.375)
    assert error == pytest.approx(0.125)
    assert own_loss(before, before, material) == (0.0, 0.0)


def test_folds_halve_each_part_and_keep_copies_together() -> None:
    count = 80
    scores = pd.DataFrame(
        {"label": [i % 2 for i in range(count)], "sha256": [f"{i // 4}" for i in range(count)]}
    )
    parts = split_images(scores, 0)
    folds = fold_images(scores, parts, 0)
    assert set(folds.index) == set(parts.index[parts != SplitPart.PROOF])
    assert set(folds[parts == SplitPart.REFIT]) == {0, 1}
    assert set(folds[parts == SplitPart.SELECTION]) == {2, 3}
    assert folds.groupby(scores["sha256"]).nunique().eq(1).all()


def test_what_to_photograph_is_what_a_suspect_class_loses_and_nothing_without_one() -> None:
    swaps = {
        "swap_other_donor_labels": [[1, 1, 1, 1], [0, 0, 0, 0]],
        "swap_other_donor_rows": [[1, 1, 1, 1], [0, 0, 0, 0]],
        "swap_other_predictions": [[1, 1, 0, 0], [1, 1, 1, 0]],
        "swap_other_probabilities": [[0.1, 0.2, 0.9, 0.9], [0.9, 0.9, 0.9, 0.1]],
    }
    scores = pd.DataFrame(
        {"label": [0, 1], "prediction": [0, 1], "swap_same_probability": [0.9, 0.9], **swaps}
    )
    names = {0: "ant", 1: "bee"}
    clear = findings(finding("ant"), finding("bee"))
    assert len(wanted_photographs(scores, clear, names)) == 0
    ant = finding("ant", Verdict.SUSPECT, kind="victim", label=0)
    wanted = wanted_photographs(scores, findings(ant, finding("bee", label=1)), names)
    assert wanted.to_dict("records") == [
        {"object_class": "ant", "where": "bee", "swaps": 4, "lost": 2, "why": "victim"}
    ]


def test_groups_say_which_images_show_the_strongest_cue() -> None:
    def cues(label: int, name: str, *clusters: tuple[str, ...]) -> Cues:
        none = Rate(hits=0, trials=0)
        found = [CueCluster(seen=none, contrast=none, crops=(), sample_ids=c) for c in clusters]
        donors = CueDonors(became=none, affected=None, tried=0, shown=())
        return Cues(
            label=label, label_name=name, key="", contrast_class=None, images=3, contrast_images=1,
            features=None, notes=(), clusters=tuple(found), donors=donors, contrast_maps=None,
        )  # fmt: skip

    names = ("ant", "bee", "cat")
    scores = pd.DataFrame(
        {
            "sample_id": ["a0", "a1", "b0", "b1", "c0"],
            "label": [0, 0, 1, 1, 2],
            "label_name": ["ant", "ant", "bee", "bee", "cat"],
            "background_only_prediction": pd.array([0, 1, None, 1, 2], dtype="Int64"),
        }
    )
    ant = finding("ant", Verdict.SUSPECT, label=0, cues=cues(0, "ant", ("a0", "b0"), ("a1",)))
    # Whose own cue was looked for in an image counts before another's.
    bee = finding("bee", Verdict.SUSPECT, label=1, cues=cues(1, "bee", ("b1", "a0"), ("b0",)))
    held = findings(ant, bee, finding("cat", label=2))
    groups = group_table(scores, pd.Series(dtype=object), held, names).set_index("sample_id")
    assert groups["cue_window_class"].tolist() == ["ant", "ant", "bee", "bee", ""]
    assert groups["cue_window"].tolist()[:4] == [1, 0, 0, 1]
    assert pd.isna(groups.loc["c0", "cue_window"])
    assert groups["cue_present"].tolist()[:2] == [1, 0]
    assert pd.isna(groups.loc["b0", "cue_present"])


def test_one_answer_fewer_makes_no_class_worse() -> None:
    def answers(own: int, swapped: int) -> Answers:
        other = Rate(hits=swapped, trials=80)
        return Answers(
            own=Rate(hits=own, trials=20), swapped_same=Rate(hits=0, trials=0), swapped_other=other
        )

    def held(after: Answers, verdict: Verdict = Verdict.CLEAR) -> RepairedClass:
        return RepairedClass(
            label=0, label_name="ant", images=20, before=answers(20, 60), after=after,
            verdict_before=Verdict.CLEAR, verdict_after=verdict,
        )  # fmt: skip

    assert not held(answers(19, 60)).is_worse
    assert held(answers(18, 60)).is_worse
    assert held(answers(20, 56)).is_worse
    assert not held(answers(20, 57)).is_worse
    assert held(answers(20, 60), Verdict.SUSPECT).is_worse
