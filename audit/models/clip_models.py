"""Loader of CLIP as a zero-shot classifier: the names of the classes are its last layer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import ModelError
from audit.models.audited import AuditedModel
from audit.models.libraries import library
from audit.models.outputs import first_line
from audit.models.transformers_models import checked_folder, described, pretrained


class ZeroShot(nn.Module):
    """The image tower of CLIP with text features as its linear head.

    Radford et al. 2021, "Learning transferable visual models from natural language supervision".

    Parameters
    ----------
    clip : transformers.CLIPModel
        Both towers; the one of texts is asked once and not kept.
    text : float (K, D)
        Of length 1 each.
    """

    text: Tensor
    scale: Tensor

    def __init__(self, clip: Any, text: Tensor) -> None:
        super().__init__()
        self.vision_model: nn.Module = clip.vision_model
        self.visual_projection: nn.Module = clip.visual_projection
        self.register_buffer("text", text)
        self.register_buffer("scale", clip.logit_scale.detach().exp())

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)``: scaled cosines between images ``(N, 3, H, W)`` and texts."""
        pooled = self.vision_model(pixel_values=images).pooler_output
        features = F.normalize(self.visual_projection(pooled), dim=-1)
        return self.scale * features @ self.text.T


def clip_model(
    device: torch.device,
    *,
    class_names: Sequence[str] | None,
    weights: str | Path | None = None,
    template: str = "a photo of a {}.",
    trust: str | None = None,
) -> AuditedModel:
    """Load a ``CLIPModel`` of transformers and classify by the names of ``model.classes``.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    class_names : sequence of K str
        Of ``model.classes``.
    weights : path
        The folder, with model, tokenizer and image processor.
    template : str
        The text of a class; ``{}`` stands for its name, whose underscores become spaces.
    trust : str, optional
        The folder's sha256, where its weights are pickled.

    Raises
    ------
    ModelError
        transformers is missing, the folder holds no CLIP, or there are no class names.
    """
    names = check_words(class_names, template)
    folder, remarks = checked_folder(weights, trust, "clip")
    transformers = library("transformers", "transformers", "clip")
    clip: Any = pretrained(transformers.CLIPModel, folder, not remarks)
    texts = class_texts(names, template)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            pooled = clip.text_model(**tokens).pooler_output
            features = F.normalize(clip.text_projection(pooled), dim=-1)
    except Exception as error:
        raise ModelError(
            f"model.weights: {folder.name} makes no features of {texts[0]!r} "
            f"({type(error).__name__}: {first_line(error)}). Does the folder hold the tokenizer, "
            "too? Save it with processor.save_pretrained."
        ) from error
    model = described(ZeroShot(clip, features), folder, names, remarks)
    # The texts are weights, too.
    hashed = "\n".join([model.sha256, *texts])
    model.sha256 = hashlib.sha256(hashed.encode()).hexdigest()
    model.remarks += (f"model.template: classes are {texts[0]!r} and so on",)
    return model.to(device)


def check_words(class_names: Sequence[str] | None, template: str) -> tuple[str, ...]:
    """Class names that texts can be made of.

    Raises
    ------
    ModelError
        There are none, or the template has no one place for a name.
    """
    if not class_names:
        raise ModelError(
            "model.classes: missing. CLIP knows the classes by their names alone: write them into "
            "a file, one a line."
        )
    if not isinstance(template, str) or template.count("{}") != 1:
        raise ModelError(f"model.template: expected a text with one {{}}, found {template!r}")
    return tuple(class_names)


def class_texts(names: Sequence[str], template: str) -> list[str]:
    """The text of each class.

    Examples
    --------
    >>> class_texts(["n02110185-Siberian_husky"], "a photo of a {}.")
    ['a photo of a Siberian husky.']
    """
    return [template.replace("{}", _spoken(name)) for name in names]


def _spoken(name: str) -> str:
    return re.sub(r"[_\s]+", " ", re.sub(r"^n\d{8}[-_ ]", "", name)).strip()
