"""Loader of ONNX files: a network that answers and shows nothing of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.audited import (
    GREY_MEAN,
    GREY_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    AuditedModel,
)
from audit.models.hashes import file_sha256
from audit.models.libraries import library
from audit.models.outputs import first_line

_KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


class OnnxNetwork(nn.Module):
    """A network that ONNX Runtime runs; no derivative comes back from it.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        With one input for images and class scores as its first output.
    """

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session
        inputs = session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            found = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise ModelError(f"model.weights: expected one input (N, 3, H, W), found {found}")
        (entry,) = inputs
        if entry.type not in _KINDS:
            raise ModelError(
                f"model.weights: expected an input of floating-point numbers, found {entry.type}. "
                "Leave conversion and normalisation out of the graph."
            )
        self.entry, self.kind = entry.name, _KINDS[entry.type]
        self.channels_last = entry.shape[1] not in (1, 3) and entry.shape[3] in (1, 3)
        self.channels = entry.shape[3 if self.channels_last else 1]
        if isinstance(self.channels, int) and self.channels not in (1, 3):
            raise ModelError(
                f"model.weights: expected an input of 3 channels, or 1, found {entry.shape}"
            )
        self.answer = session.get_outputs()[0].name

    def forward(self, images: Tensor) -> Tensor:
        """Class scores ``(N, K)`` of normalised images ``(N, 3, H, W)``."""
        entering = images.permute(0, 2, 3, 1) if self.channels_last else images
        values = np.ascontiguousarray(entering.detach().cpu().numpy().astype(self.kind))
        (answer,) = self.session.run([self.answer], {self.entry: values})
        return torch.from_numpy(np.asarray(answer, dtype=np.float32)).to(images.device)


def onnx_model(device: torch.device, *, weights: str | Path | None = None) -> AuditedModel:
    """Load an ONNX file into ONNX Runtime.

    Experiments, occlusion and everything else that only asks for class scores work; there are no
    gradients, class activation maps or class model visualizations.

    Parameters
    ----------
    device : torch.device
        Where images lie; ONNX Runtime uses a GPU where it can.
    weights : path
        The ``.onnx`` file, with weights in it or beside it.

    Raises
    ------
    ModelError
        ONNX Runtime is missing, or the file is no network for images.
    """
    runtime = library("onnxruntime", "onnx", "onnx")
    if not isinstance(weights, Path):
        raise ModelError(f"model.weights: expected an .onnx file, found {weights!r}")
    options = runtime.SessionOptions()
    # One thread, so that an answer does not depend on how many there are.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    providers = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    able = [one for one in providers if one in runtime.get_available_providers()]
    try:
        session = runtime.InferenceSession(
            str(weights), options, providers=[*able, "CPUExecutionProvider"]
        )
    except Exception as error:
        raise ModelError(
            f"model.weights: ONNX Runtime cannot load {weights.name} "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error
    network = OnnxNetwork(session)
    shape = session.get_inputs()[0].shape
    side = shape[1] if network.channels_last else shape[2]
    geometry = Geometry(side, None) if isinstance(side, int) else Geometry(224, 256)
    grey = network.channels == 1
    mean, std = (GREY_MEAN, GREY_STD) if grey else (IMAGENET_MEAN, IMAGENET_STD)
    sha256 = file_sha256(weights)
    model = AuditedModel(network, None, geometry, mean, std, name=weights.name, sha256=sha256)
    model.images_per_call = shape[0] if isinstance(shape[0], int) else None
    return model.to(device)
