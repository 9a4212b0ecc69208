"""A first guess at how a model is to be loaded: by what it is called and what its file holds."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.errors import ManifestError, ModelError
from audit.models import MODELS
from audit.models.checkpoints import Checkpoint, load_checkpoint
from audit.models.file_kinds import OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS, kind_of, read_config
from audit.models.hashes import file_sha256
from audit.models.libraries import installed
from audit.models.nearest import nearest_network, networks

EXPECTED = (
    'expected a weights file, "resnet18:weights.pt", "loader:name" such as '
    '"timm:convnext_tiny:weights.pt", or "package.module:function"'
)
_ALIKE = 0.9
_NEEDS_TRUST = ("exported", "torchscript", "pickled")
_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
_UNKNOWN = [
    "what the model was trained with: model.input holds ImageNet's values unless the weights or "
    "the function bring their own"
]


@dataclass
class ModelDraft:
    """What a manifest would say of a model.

    Parameters
    ----------
    section : dict
        The section ``model``; paths in it are Paths.
    guessed, unknown : list of str
        What was guessed and by what; what could not be.
    trust : str
        Sha256 of a file whose loading can run code, for a person to write down; else "".
    """

    section: dict[str, Any]
    guessed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    trust: str = ""


def draft_model(spec: str) -> ModelDraft:
    """Look at a model; nothing of it is run.

    Parameters
    ----------
    spec : str
        A file or folder; ``name:weights`` of torchvision or timm; ``loader:...`` for a key of
        :data:`audit.models.MODELS`; or ``package.module:function``.

    Raises
    ------
    ManifestError
        None of these.
    ModelError
        The file cannot be read as weights, or they are those of no network that is known.
    """
    draft = _of_file(Path(spec).resolve()) if Path(spec).exists() else _of_words(spec)
    weights = draft.section.get("weights")
    if draft.section["loader"] in _NEEDS_TRUST and isinstance(weights, Path):
        draft.trust = file_sha256(weights)
        draft.unknown.append(
            f"whether {weights.name} is to be trusted: loading it can run code. If you know who "
            "made it, uncomment model.trust"
        )
    return draft


def _of_words(spec: str) -> ModelDraft:
    first, _, rest = spec.partition(":")
    if first in networks():
        return _of_torchvision(first, rest)
    if first in MODELS and rest:
        return _of_loader(first, rest)
    if rest and (not re.fullmatch(r"[\w.]+:[\w.]+", spec) or Path(rest).exists()):
        if _is_timm(first):
            return _of_loader("timm", spec)
        raise ManifestError(f"--model: no network {first!r} is known; {EXPECTED}")
    if not first or not rest:
        raise ManifestError(f"--model: {EXPECTED}, found {spec!r}")
    return ModelDraft({"loader": spec}, ["a function of yours"], list(_UNKNOWN))


def _is_timm(name: str) -> bool:
    timm = installed("timm")
    return timm is not None and bool(timm.is_model(name.split(".")[0]))


def _place(text: str) -> str | Path:
    return Path(text).resolve() if Path(text).exists() else text


def _of_torchvision(name: str, weights: str) -> ModelDraft:
    section = {"loader": "torchvision", "name": name, "weights": _place(weights or "DEFAULT")}
    if weights:
        return ModelDraft(section, [f"torchvision's {name}"], list(_UNKNOWN))
    guess = f"torchvision's {name} with its own weights (DEFAULT), which may be downloaded"
    return ModelDraft(section, [guess])


def _of_loader(loader: str, rest: str) -> ModelDraft:
    section: dict[str, Any] = {"loader": loader}
    name = inspect.signature(MODELS[loader]).parameters.get("name")
    # open_clip's name is for a file alone; a folder says it itself.
    if name is not None and (name.default is inspect.Parameter.empty or not Path(rest).is_dir()):
        section["name"], _, rest = rest.partition(":")
    guesses = [f"the loader {loader}"]
    if not rest and loader in ("timm", "torchvision"):
        rest = "DEFAULT"
        guesses.append(f"{loader}'s own weights (DEFAULT), which may be downloaded")
    if not rest:
        raise ManifestError(f'--model: which file? Write "{loader}:{section["name"]}:FILE"')
    section["weights"] = _place(rest)
    return ModelDraft(section, guesses)


def _of_file(path: Path) -> ModelDraft:
    if path.name in (*_FOLDER_FILES, *OPEN_CLIP_WEIGHTS) and kind_of(path.parent):
        path = path.parent
    kind = kind_of(path)
    if kind == "timm":
        name = str((read_config(path) or {})["architecture"])
        (weights,) = [path / file for file in _FOLDER_FILES if (path / file).is_file()][:1] or [
            path
        ]
        section = {"loader": kind, "name": name, "weights": weights}
        return ModelDraft(section, [f"timm's {name}: a folder with timm's config.json"])
    if kind:
        config = OPEN_CLIP_CONFIG if kind == "open_clip" else "config.json"
        guess = f"a folder with {config}" if path.is_dir() else f"by what {path.name} holds"
        return ModelDraft({"loader": kind, "weights": path}, [f"the loader {kind}: {guess}"])
    checkpoint = load_checkpoint(path, inert=True)
    draft = _of_checkpoint(checkpoint, path)
    if checkpoint.class_names:
        draft.guessed.append(f"the file names {len(checkpoint.class_names)} classes")
    sets = [key for key, entry in checkpoint.entries.items() if len(entry.state) > 1]
    if len(sets) > 1:
        # Of raw and averaged weights most scripts keep the averaged ones for use.
        taken = next((key for key in sets if "ema" in key), sets[0])
        draft.section["weights_entry"] = taken
        draft.guessed.append(f"of the weights {', '.join(sets)}: {taken} (model.weights_entry)")
    return draft


def _of_checkpoint(checkpoint: Checkpoint, path: Path) -> ModelDraft:
    found = [nearest_network(entry.state) for entry in checkpoint.entries.values()]
    best, agreement = max(found, key=lambda pair: pair[1])
    arch = checkpoint.arch
    # Both libraries have a resnet50, and their files look alike.
    if arch and _is_timm(arch) and (agreement < _ALIKE or arch not in networks()):
        section = {"loader": "timm", "name": arch, "weights": path}
        return ModelDraft(section, [f"timm's {arch}: the file says so"])
    if agreement >= _ALIKE:
        loader = "lightning" if checkpoint.lightning else "torchvision"
        guess = f"torchvision's {best}: names and shapes of the weights are its own"
        draft = ModelDraft({"loader": loader, "name": best, "weights": path}, [guess])
        draft.unknown += _UNKNOWN
        if checkpoint.lightning:
            draft.guessed.insert(0, "the loader lightning: the file is a checkpoint of Lightning")
        return draft
    which = "lightning:NAME:FILE" if checkpoint.lightning else EXPECTED
    raise ModelError(
        f"--model: {path.name} holds weights of no network of torchvision (the nearest is "
        f"{best or 'none'}); say which it is: {which}"
    )
