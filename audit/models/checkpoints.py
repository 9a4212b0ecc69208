"""Weights from files that nobody need trust: tensors come out, no code runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from audit.errors import ModelError
from audit.models.file_kinds import other_loader
from audit.models.hashes import file_sha256
from audit.models.outputs import first_line

_DEPTH = 2
_AGAIN = "Copy or download it again, or save it again with torch.save(model.state_dict(), ...)."
"""Mappings within mappings that are looked into: ``{"checkpoint": {"state_dict": ...}}``."""


@dataclass(frozen=True)
class Entry:
    """A state dict within a weights file.

    Parameters
    ----------
    state : mapping of str to Tensor
        Parameters and buffers, under the names that the file gives them.
    metadata : mapping
        torch's own note beside them, such as the version of each module; empty where there is none.
    """

    state: Mapping[str, Tensor]
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds.

    Parameters
    ----------
    entries : mapping of str to Entry
        State dicts by their key in the file, such as ``model_ema``; "" for tensors that lie in it
        directly.
    class_names : tuple of str or None
        Where the file names its classes.
    sha256 : str
        Of the file.
    unread : tuple of str
        Kinds of Python objects in it, which nobody made or looked at.
    arch : str
        Under which name training scripts note the network: ``arch`` of timm's; else "".
    lightning : bool
        Whether Lightning wrote it.
    """

    entries: Mapping[str, Entry]
    class_names: tuple[str, ...] | None
    sha256: str
    unread: tuple[str, ...] = ()
    arch: str = ""
    lightning: bool = False


class _Unread:
    """In the place of a Python object of a checkpoint, which is neither made nor looked at."""

    def __init__(self, *_arguments: object, **_more: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


def load_checkpoint(path: Path, *, inert: bool = False) -> Checkpoint:
    """Read ``.safetensors``, or a ``.pt``/``.pth`` file of tensors with ``weights_only=True``.

    Parameters
    ----------
    path : Path
        The file.
    inert : bool
        Whether Python objects beside the tensors, such as hyper-parameters, may lie in it; none is
        made, and no code runs.

    Raises
    ------
    ModelError
        Missing, damaged, not weights, or a file that would run code.
    """
    if path.exists() and (elsewhere := other_loader(path)):
        raise ModelError(f"model.weights: {elsewhere}")
    if not path.is_file():
        raise ModelError(
            f"model.weights: no such file: {path.name}. Write its path, relative to the manifest."
        )
    with path.open("rb") as opened:
        head = opened.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(f"model.weights: {path.name} is a Git LFS pointer; run `git lfs pull`")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ModelError(f"model.weights: {path.name} is a web page; download it again")
    if path.suffix == ".safetensors":
        entries, names = _load_safetensors(path)
    else:
        _refuse_zip_bomb(path)
        unsafe = _unsafe_globals(path) if inert else []
        loaded = _load_pickle(path, unsafe)
        entries, names = _unwrap(loaded, path, unsafe)
        arch = str(loaded["arch"]) if isinstance(loaded.get("arch"), str) else ""
        lightning = "pytorch-lightning_version" in loaded
        return Checkpoint(entries, names, file_sha256(path), tuple(unsafe), arch, lightning)
    return Checkpoint(entries, names, file_sha256(path))


def unread(checkpoint: Checkpoint) -> str:
    """Say that there are Python objects beside the tensors that nobody looked at."""
    left = "model.weights: what is no tensor, such as hyper-parameters, stays unread"
    return left if checkpoint.unread else ""


def _load_safetensors(path: Path) -> tuple[dict[str, Entry], tuple[str, ...] | None]:
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"model.weights: {path.name} is damaged ({first_line(error)}). {_AGAIN}"
        ) from error
    names = None
    if "classes" in metadata:
        try:
            names = tuple(str(name) for name in json.loads(metadata["classes"]))
        except ValueError:
            names = None
    return {"": Entry(state)}, names


def _refuse_zip_bomb(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            squeezed = [m.filename for m in archive.infolist() if m.compress_type != 0]
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(
            f"model.weights: {path.name} is damaged ({first_line(error)}). {_AGAIN}"
        ) from error
    if squeezed:
        raise ModelError(
            f"model.weights: {path.name} holds compressed members, which torch never writes. "
            "Save it again with torch.save; an archive that holds the file must be unpacked."
        )


def _load_pickle(path: Path, unread: Sequence[str] = ()) -> Any:
    # By their names in the file torch's own restricted unpickler then makes empty things.
    empty: list[Any] = [(type("_Unread", (_Unread,), {}), name) for name in unread]
    try:
        # Said explicitly, since an environment variable can flip the default; mmap reads
        # malformed files that the plain reader refuses.
        with torch.serialization.safe_globals(empty):
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:
        unsafe = _unsafe_globals(path)
        if unsafe:
            raise ModelError(
                f"model.weights: {path.name} holds Python objects ({', '.join(unsafe[:5])}), and "
                "loading it could run code. Save the tensors alone: "
                "safetensors.torch.save_file(model.state_dict(), ...). Is it a checkpoint of "
                "Lightning? model: {loader: lightning} leaves its hyper-parameters unread."
            ) from None
        raise ModelError(
            f"model.weights: {path.name} is no file of weights ({first_line(error)}). Expected "
            f"what torch.save or safetensors wrote. {_AGAIN}"
        ) from None
    return loaded


def _unsafe_globals(path: Path) -> list[str]:
    try:
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:
        return []


def _unwrap(
    loaded: Any, path: Path, unread: Sequence[str]
) -> tuple[dict[str, Entry], tuple[str, ...] | None]:
    if isinstance(loaded, _Unread):
        raise ModelError(
            f"model.weights: {path.name} is a pickled object ({', '.join(unread[:3])}), and "
            "loading it would run code. Save the tensors alone (torch.save(model.state_dict(), "
            "...)), or see model: {loader: pickled, name: ..., trust: ...}."
        )
    if not isinstance(loaded, Mapping):
        raise ModelError(
            f"model.weights: expected a mapping of tensors in {path.name}, "
            f"found {type(loaded).__name__}"
        )
    entries = dict(_entries(loaded))
    if not entries:
        raise ModelError(
            f"model.weights: {path.name} holds no tensors, expected a network's: save "
            "model.state_dict()."
        )
    for entry in entries.values():
        for name, tensor in entry.state.items():
            dense = tensor.layout == torch.strided
            size = max(tensor.untyped_storage().nbytes(), 1) if dense else 0
            if dense and tensor.numel() * tensor.element_size() > size:
                raise ModelError(
                    f"model.weights: {path.name}: {name} claims more than the file holds. {_AGAIN}"
                )
    return entries, _class_names(loaded)


def _entries(
    loaded: Mapping[Any, Any], key: str = "", depth: int = _DEPTH
) -> Iterator[tuple[str, Entry]]:
    """State dicts in a mapping and in the mappings in it; an optimiser's moments are none."""
    state = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
    if state:
        yield key, Entry(state, getattr(loaded, "_metadata", None) or {})
    for name, value in loaded.items():
        if depth and isinstance(value, Mapping) and "optim" not in str(name):
            yield from _entries(value, f"{key}.{name}" if key else str(name), depth - 1)


def _class_names(loaded: Mapping[Any, Any]) -> tuple[str, ...] | None:
    for key in ("classes", "class_names"):
        if isinstance(loaded.get(key), (list, tuple)):
            return tuple(str(name) for name in loaded[key])
    to_index = loaded.get("class_to_idx")
    if isinstance(to_index, Mapping) and sorted(to_index.values()) == list(range(len(to_index))):
        return tuple(str(name) for name in sorted(to_index, key=lambda name: int(to_index[name])))
    return None
