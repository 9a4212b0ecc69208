"""FiftyOne's folder against its schema, as fiftyone 1.22 writes it, and what was planted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from auditing import opened, scored
from PIL import Image
from planted import CLASSES, write_dataset

from audit.errors import RunFolderError
from audit.exports.fiftyone import write_documents
from audit.findings import Verdict, read_facts, read_findings, write_findings
from audit.manifest import ReportSection
from audit.pipeline.compose import compose
from audit.pipeline.decide import decide
from audit.pipeline.fiftyone import draw_samples
from audit.pipeline.report import reports_of, write_reports
from audit.run_folder import RunFolder

PER_CLASS = 2
OF_FIFTYONE = {"_id", "filepath", "tags", "metadata", "_media_type", "_rand"}
LABELS = {
    "ground_truth": "Classification",
    "prediction": "Classification",
    "verdict": "Classification",
    "foreground": "Segmentation",
    "saliency": "Heatmap",
}
"""Class of each label, which its documents name in ``_cls`` and the schema in full."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("fiftyone")
    manifest = write_dataset(folder, [1], per_class=PER_CLASS)
    (folder / "masks" / "ant" / "000.png").unlink()
    (folder / "images" / "cat" / "001.png").write_bytes(b"no image")
    held = scored(manifest, folder / "run")
    session = opened(manifest, held.path)
    compose(held, decide(held, session.manifest))
    with session.loader:
        assert draw_samples(session) == PER_CLASS * len(CLASSES) - 1
    assert write_documents(held) == held.fiftyone
    return held


def read(run: RunFolder) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The dataset's document, and those of the samples by the audit's name of them."""
    metadata = json.loads((run.fiftyone / "metadata.json").read_text())
    (samples,) = json.loads((run.fiftyone / "samples.json").read_text()).values()
    return metadata, {sample["audit_id"]: sample for sample in samples}


def ids_in(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [found for held in value for found in ids_in(held)]
    if not isinstance(value, dict):
        return []
    return [h for k, v in value.items() for h in ([v] if k == "_id" else ids_in(v))]


def test_the_documents_have_the_form_that_fiftyone_reads(run: RunFolder) -> None:
    metadata, samples = read(run)
    # Without a version its importer takes the folder for one of before 0.8.
    assert (metadata["version"], metadata["media_type"]) == ("1.0.0", "image")
    fields = {field["name"]: field for field in metadata["sample_fields"]}
    assert len(fields) == len(metadata["sample_fields"])
    assert fields["id"]["db_field"] == "_id"
    keys = {"name", "ftype", "embedded_doc_type", "subfield", "fields", "db_field"}
    assert all(keys <= set(field) for field in fields.values())
    for name, kind in LABELS.items():
        assert fields[name]["ftype"] == "fiftyone.core.fields.EmbeddedDocumentField"
        assert fields[name]["embedded_doc_type"] == f"fiftyone.core.labels.{kind}"
        inner = {field["db_field"] for field in fields[name]["fields"]}
        for sample in samples.values():
            if name in sample:
                assert sample[name]["_cls"] == kind
                assert set(sample[name]) - {"_cls"} <= inner
    for sample in samples.values():
        assert set(sample) >= OF_FIFTYONE
        assert set(sample) - OF_FIFTYONE <= set(fields)
        assert sample["metadata"]["_cls"] == "ImageMetadata"
    found = [one["$oid"] for one in ids_in([metadata, list(samples.values())])]
    assert len(set(found)) == len(found)
    assert all(re.fullmatch("[0-9a-f]{24}", one) for one in found)


def test_mask_and_map_lie_on_the_picture_that_the_model_saw(run: RunFolder) -> None:
    _, samples = read(run)
    for name, sample in samples.items():
        picture = np.asarray(Image.open(run.fiftyone / sample["filepath"]))
        size = sample["metadata"]["height"], sample["metadata"]["width"]
        assert picture.shape == (*size, 3)
        original = run.path.parent / "images" / name
        assert np.array_equal(picture, np.asarray(Image.open(original).convert("RGB")))
        heat = np.asarray(Image.open(run.fiftyone / sample["saliency"]["map_path"]))
        assert (heat.shape, heat.dtype, int(heat.max())) == (size, np.uint8, 255)
        if name == "ant/000.png":
            assert "foreground" not in sample
            continue
        drawn = np.asarray(Image.open(run.fiftyone / sample["foreground"]["mask_path"]))
        mask = np.asarray(Image.open(run.path.parent / "masks" / name)) > 127
        assert np.array_equal(drawn == 255, mask)
    assert "cat/001.png" not in samples


def test_each_sample_says_what_the_run_measured(run: RunFolder) -> None:
    _, samples = read(run)
    scores = pd.read_parquet(run.scores).set_index("sample_id")
    names = read_facts(run.run_json).class_names
    verdicts = {f.label_name: f.verdict.value for f in read_findings(run.findings).findings}
    for name, sample in samples.items():
        held = scores.loc[name]
        assert sample["ground_truth"]["label"] == held["label_name"] == name.split("/")[0]
        assert sample["prediction"]["label"] == names[int(held["prediction"])]
        assert sample["prediction"]["confidence"] == held["confidence"]
        assert sample["verdict"]["label"] == verdicts[held["label_name"]]
        assert sample["margin"] == held["margin"]
        answers = held["swap_other_predictions"]
        right = None if answers is None else np.mean(np.asarray(answers) == held["label"])
        assert sample["swap_other_right"] == right
    assert samples["ant/000.png"]["foreground_mass"] is None
    # The planted class counts pixels of its scene, the other those of its object.
    assert samples["bee/000.png"]["foreground_mass"] < samples["elk/000.png"]["foreground_mass"]


def test_a_later_verdict_is_written_with_the_report(run: RunFolder) -> None:
    before = read_findings(run.findings)
    changed = before.findings[0].model_copy(update={"verdict": Verdict.WATCH})
    write_findings(run.findings, before.with_classes((changed, *before.findings[1:])))
    assert write_reports(run, ReportSection(formats=("fiftyone",))) == [run.fiftyone]
    assert run.fiftyone in reports_of(run)
    _, samples = read(run)
    found = {s["verdict"]["label"] for s in samples.values() if s["kind"] is not None}
    assert "watch" in found
    write_findings(run.findings, before)


def test_without_maps_it_says_that_the_model_is_needed(run: RunFolder, tmp_path: Path) -> None:
    bare = RunFolder(tmp_path)
    bare.scores.write_bytes(run.scores.read_bytes())
    with pytest.raises(RunFolderError, match=r"no maps lie here.*`run` the same manifest"):
        write_documents(bare)
