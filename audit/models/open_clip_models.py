"""Loader of CLIP models of open_clip as zero-shot classifiers."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import ModelError
from audit.geometry import Geometry
from audit.models.audited import AuditedModel
from audit.models.checkpoints import Checkpoint, load_checkpoint, unread
from audit.models.clip_models import check_words, class_texts
from audit.models.file_kinds import OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS, read_config
from audit.models.hashes import file_sha256
from audit.models.libraries import library
from audit.models.outputs import first_line
from audit.models.state_dicts import fit_weights

_TOKENIZER_OPTIONS = {"clean", "strip_sep_token", "reduction_mask", "language"}
"""Which a folder may set; others name files, or run code of the folder."""


class OpenZeroShot(nn.Module):
    """The image tower of an open_clip model with text features as its linear head.

    Parameters
    ----------
    clip : open_clip.CLIP or open_clip.CustomTextCLIP
        Both towers; the one of texts is asked once and not kept.
    text : float (K, D)
        Of length 1 each.
    """

    text: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, clip: Any, text: Tensor) -> None:
        super().__init__()
        self.visual: nn.Module = clip.visual
        self.register_buffer("text", text)
        self.register_buffer("scale", clip.logit_scale.detach().exp())
        bias = clip.logit_bias
        self.register_buffer("bias", torch.zeros(()) if bias is None else bias.detach())

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)``: scaled cosines between images ``(N, 3, H, W)`` and texts."""
        features = self.visual(images)
        if isinstance(features, tuple):
            # CoCa's tower gives its tokens, too.
            features = features[0]
        return self.scale * F.normalize(features, dim=-1) @ self.text.T + self.bias


def open_clip_model(
    device: torch.device,
    *,
    class_names: Sequence[str] | None,
    name: str | None = None,
    weights: str | Path | None = None,
    template: str = "a photo of a {}.",
) -> AuditedModel:
    """Load a model of open_clip and classify by the names of ``model.classes``; nothing is fetched.

    Parameters
    ----------
    device : torch.device
        Where it shall live.
    class_names : sequence of K str
        Of ``model.classes``.
    name : str, optional
        For a file: one of ``open_clip.list_models()``, such as ``ViT-B-32``.
    weights : path
        A folder with ``open_clip_config.json`` and weights, as the Hugging Face hub has them; or
        the file of weights of `name`.
    template : str
        The text of a class; ``{}`` stands for its name, whose underscores become spaces.

    Raises
    ------
    ModelError
        open_clip is missing, the weights are not those of the model, or there are no class names.
    """
    names = check_words(class_names, template)
    open_clip = library("open_clip", "open-clip", "open_clip")
    found, file = _found(open_clip, name, weights)
    checkpoint = load_checkpoint(file, inert=True)
    clip, note = _built(open_clip, found, checkpoint)
    texts = class_texts(names, template)
    features = _text_features(open_clip, clip, found, texts)
    config = clip.visual.preprocess_cfg
    geometry, remarks = _geometry(config, clip.visual)
    module = OpenZeroShot(clip, features).eval()
    model = AuditedModel(module, names, geometry, config["mean"], config["std"], name=file.stem)
    source = file_sha256(weights) if isinstance(weights, Path) else checkpoint.sha256
    # The texts are weights, too.
    model.sha256 = hashlib.sha256("\n".join([source, *texts]).encode()).hexdigest()
    said = f"model.template: classes are {texts[0]!r} and so on"
    model.remarks = tuple(line for line in (note, unread(checkpoint), *remarks, said) if line)
    return model.to(device)


def _found(open_clip: Any, name: str | None, weights: str | Path | None) -> tuple[str, Path]:
    """What open_clip calls the model, and its file of weights."""
    if not isinstance(weights, Path):
        raise ModelError(
            f"model.weights: expected a folder with {OPEN_CLIP_CONFIG}, or the file of weights of "
            f"model.name, found {weights!r}. The open_clip loader fetches nothing: "
            "`huggingface-cli download NAME --local-dir FOLDER` does."
        )
    if weights.is_dir():
        _check_config(weights)
        files = [weights / file for file in OPEN_CLIP_WEIGHTS if (weights / file).is_file()]
        if not files:
            raise ModelError(
                f"model.weights: {weights.name} holds no weights: expected one of "
                f"{', '.join(OPEN_CLIP_WEIGHTS)}"
            )
        return f"local-dir:{weights.resolve()}", files[0]
    known = open_clip.list_models()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        raise ModelError(
            f"model.name: open_clip has no model {name!r}. Close: {', '.join(near) or 'none'}; "
            "all: open_clip.list_models(). A folder needs no name."
        )
    _check_parts(open_clip.get_model_config(name), str(name))
    return str(name), weights


def _check_config(folder: Path) -> None:
    config = read_config(folder, OPEN_CLIP_CONFIG)
    parts = config.get("model_cfg") if config is not None else None
    if not isinstance(parts, dict):
        raise ModelError(
            f"model.weights: expected {folder.name}/{OPEN_CLIP_CONFIG} with the key model_cfg, as "
            "open_clip's push_to_hf_hub writes it. A file of weights alone needs model.name."
        )
    _check_parts(parts, folder.name)


def _check_parts(parts: Mapping[str, Any], name: str) -> None:
    """Refuse what open_clip would fetch from the network, or run."""
    text, vision = parts.get("text_cfg"), parts.get("vision_cfg")
    text, vision = (part if isinstance(part, dict) else {} for part in (text, vision))
    if text.get("hf_model_name") or ":" in str(vision.get("timm_model_name", "")):
        raise ModelError(
            f"model.weights: a tower of {name} is one that open_clip fetches from the Hugging Face "
            "hub, and nothing is fetched here. Load it by a function of yours: model.loader: "
            '"package.module:function".'
        )
    given = text.get("tokenizer_kwargs", {})
    unknown = sorted(set(given) - _TOKENIZER_OPTIONS) if isinstance(given, dict) else [given]
    if unknown:
        raise ModelError(
            f"model.weights: {name} sets tokenizer_kwargs.{unknown[0]}, which can open other files "
            f"or run code; allowed are {', '.join(sorted(_TOKENIZER_OPTIONS))}"
        )


def _built(open_clip: Any, found: str, checkpoint: Checkpoint) -> tuple[Any, str]:
    """The model with the file's weights, and a note on which of them were taken."""
    quiet = {"load_weights": False, "pretrained_image": False, "pretrained_text": False}
    try:
        with _silent():
            clip = open_clip.create_model(found, **quiet)
    except Exception as error:
        raise ModelError(
            f"model.weights: open_clip cannot build the model ({type(error).__name__}: "
            f"{first_line(error)}). Is its release as new as the model?"
        ) from error

    def renamed(state: dict[str, Tensor], model: nn.Module) -> Mapping[str, Tensor]:
        converted: dict[str, Tensor] = open_clip.factory.convert_state_dict(model, state)
        if "positional_embedding" in converted and not hasattr(model, "positional_embedding"):
            converted = open_clip.factory.convert_to_custom_text_state_dict(converted)
        return converted

    label = found.rpartition("/")[2]
    fitted = fit_weights(
        lambda _: clip, checkpoint, name=f"open_clip's {label}", rename=renamed, on_meta=False
    )
    return fitted.module.eval(), fitted.note


@contextmanager
def _silent() -> Iterator[None]:
    """Without its warning that weights are random: they are loaded here, and one by one."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _text_features(open_clip: Any, clip: Any, found: str, texts: Sequence[str]) -> Tensor:
    of_transformers = bool(_parts(open_clip, found)["text_cfg"].get("hf_tokenizer_name"))
    inert = {"local_files_only": True, "trust_remote_code": False} if of_transformers else {}
    try:
        tokens = open_clip.get_tokenizer(found, **inert)(list(texts))
        with torch.no_grad():
            features: Tensor = clip.encode_text(tokens, normalize=True)
    except Exception as error:
        raise ModelError(
            f"model.weights: the model makes no features of {texts[0]!r} ({type(error).__name__}: "
            f"{first_line(error)}). Where its tokenizer is one of transformers', its files must "
            "lie in the folder."
        ) from error
    return features


def _parts(open_clip: Any, found: str) -> Mapping[str, Any]:
    folder = found.removeprefix("local-dir:")
    if folder == found:
        known: Mapping[str, Any] = open_clip.get_model_config(found)
        return known
    parts: Any = (read_config(Path(folder), OPEN_CLIP_CONFIG) or {})["model_cfg"]
    return dict(parts)


def _geometry(config: Mapping[str, Any], visual: Any) -> tuple[Geometry, tuple[str, ...]]:
    """As open_clip's own transform for evaluation."""
    sides = config.get("size") or visual.image_size
    high, wide = sides if isinstance(sides, tuple | list) else (sides, sides)
    interpolation = str(config.get("interpolation", "bicubic"))
    if interpolation not in ("bilinear", "bicubic"):
        interpolation = "bicubic"
    remarks: tuple[str, ...] = ()
    if high != wide:
        remarks = (f"model.input: open_clip's {high} x {wide} is not square; {high} is taken",)
    mode = config.get("resize_mode", "shortest")
    if mode == "longest":
        remarks += ("model.input: open_clip pads these images; here they are squeezed",)
    if mode == "shortest":
        return Geometry(int(high), int(high), "center", interpolation), remarks
    return Geometry(int(high), None, "none", interpolation), remarks
