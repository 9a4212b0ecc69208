"""What importing the package changes in the process that imports it: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image
from planted import write_dataset

import audit

COMPARE = """
import json, os, sys
import PIL.Image, PIL.ImageFile

def state():
    return {
        "bound": PIL.Image.MAX_IMAGE_PIXELS,
        "truncated": PIL.ImageFile.LOAD_TRUNCATED_IMAGES,
        "path": list(sys.path),
        "environment": dict(os.environ),
    }

before = state()
import flows.cli
early = sorted({"torch", "prefect"} & set(sys.modules))
import audit, audit.dataset.loader, audit.dataset.loading, audit.models, audit.saliency
import audit.pipeline.run, audit.pipeline.check, audit.pipeline.explain
from audit.report import render
with render._pillow_as_it_was():
    import audit.report.pdf
json.dump([before, state(), early], sys.stdout)
"""


def test_importing_changes_nothing_for_others() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPARE], capture_output=True, check=True, env=dict(os.environ)
    )
    before, after, early = json.loads(done.stdout)
    assert before["bound"] > 0
    assert after == before
    # Both read the environment when they are imported: `main` must be able to come first.
    assert early == []


METHOD = """
def method(model, images, targets, *, seeds):
    from part_of_method import scaled
    return scaled(images.mean(1)), None
"""


def test_an_audit_with_functions_that_import_late_changes_nothing_for_others(
    tmp_path: Path,
) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=2)
    (tmp_path / "late_method.py").write_text(METHOD)
    (tmp_path / "part_of_method.py").write_text("def scaled(maps):\n    return 2 * maps\n")
    before = list(sys.path), dict(os.environ), Image.MAX_IMAGE_PIXELS
    run = audit.run(
        manifest,
        tmp_path / "run",
        device="cpu",
        overrides={
            "saliency.method": "late_method:method",
            "cmv.classes": "none",
            "report.formats": [],
        },
    )
    assert run.scores["foreground_mass"].notna().all()
    assert (list(sys.path), dict(os.environ), Image.MAX_IMAGE_PIXELS) == before
