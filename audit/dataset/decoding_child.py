"""The child process that decodes: whatever a hostile file does, it does it here.

Speaks over stdin and stdout: a JSON line in, a JSON line out; pixels go through memory that the
parent shares. Run as ``python -m audit.dataset.decoding_child``; imports no torch, so that it
starts in a fraction of a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from audit.dataset.decoding_messages import Answer, Request, Setup, sample_in, stamp_in
from audit.dataset.foregrounds import FOREGROUNDS, open_foreground
from audit.dataset.loading import load_sample
from audit.dataset.outline_store import OutlineStore
from audit.dataset.outlines import Foreground
from audit.dataset.shared_pixels import SharedPixels
from audit.errors import AuditError, SampleError
from audit.geometry import Geometry

MEMORY_LIMIT = 2 * 2**30


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent ends, however that ends."""
    pr_set_pdeathsig = 1
    try:
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    except (OSError, AttributeError):
        return  # Not Linux: closing stdin ends us instead.
    if os.getppid() == 1:
        raise SystemExit


def _answer(out: BinaryIO, answer: Answer) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def main() -> None:
    """Serve requests until stdin closes."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A private copy of stdout: a chatty plugin must not write into the protocol.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # The bounds of `open_image` are stricter; Pillow's own would warn and name no size.
    Image.MAX_IMAGE_PIXELS = None
    setup: Setup = json.loads(sys.stdin.buffer.readline())
    sys.path[:0] = setup["import_path"]
    geometry = Geometry(**setup["geometry"])
    pixels = SharedPixels(geometry.size, setup["pixels"])
    try:
        outlines = OutlineStore.from_json(setup["outlines"]) if setup["outlines"] else None
        folder = Path(setup["folder"])
        foreground = open_foreground(setup["source"], setup["options"], folder, outlines)
    except AuditError as error:
        _answer(out, {"failed": str(error)})
        return
    if setup["source"] in FOREGROUNDS or setup["source"] == "none":
        # A plugin may import much more than this allows.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    _answer(out, {"ready": True})
    for line in sys.stdin.buffer:
        _answer(out, _decoded(json.loads(line), geometry, foreground, setup["widened"], pixels))


def _decoded(
    request: Request,
    geometry: Geometry,
    foreground: Foreground | None,
    widened: int,
    pixels: SharedPixels,
) -> Answer:
    """Decode what is asked for into the shared pixels; or say why not."""
    try:
        unchanged_since = stamp_in(request["unchanged_since"])
        loaded = load_sample(sample_in(request), geometry, foreground, unchanged_since, widened)
    except SampleError as error:
        return {"reason": error.reason, "detail": error.detail}
    except MemoryError:
        return {"reason": "TOO_MANY_PIXELS", "detail": "not enough memory to decode"}
    except Exception as error:
        return {"reason": "LOADING_FAILED", "detail": f"{type(error).__name__}: {error}"}
    pixels.write(loaded.image, loaded.foreground)
    return {
        "sha256": loaded.sha256,
        "notes": loaded.notes,
        "foreground_problem": loaded.foreground_problem,
        "has_foreground": loaded.foreground is not None,
    }


if __name__ == "__main__":
    main()
