"""What importing the package changes in the process that imports it: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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
import audit, audit.dataset.loader, audit.dataset.loading, audit.models, audit.saliency
json.dump([before, state()], sys.stdout)
"""


def test_importing_changes_nothing_for_others() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPARE], capture_output=True, check=True, env=dict(os.environ)
    )
    before, after = json.loads(done.stdout)
    assert before["bound"] > 0
    assert after == before
