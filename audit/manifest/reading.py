"""From a YAML file to a checked manifest, or to a sentence that says what is wrong in it."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from audit.declared import declared_path, read_declared
from audit.errors import ManifestError
from audit.manifest.manifest import Manifest
from audit.secrets import remember
from audit.yaml_text import UnreadableYamlError, load_yaml

MAX_BYTES = 2**20
"""Of a manifest."""
RENAMED = {
    ("foreground", "doubt"): "boundary_tolerance",
    ("interventions", "also"): "extra",
}
"""Keys of earlier versions by section; they are taken for one release more, with a notice."""

_log = logging.getLogger(__name__)
_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def load_manifest(
    path: str | Path | Mapping[str, object], overrides: Sequence[str] = (), *, expand: bool = True
) -> Manifest:
    """Read a manifest file.

    Parameters
    ----------
    path : str, Path or mapping
        The YAML file; or what would stand in it, as if it lay in the current folder.
    overrides : sequence of str
        ``"key.path=value"`` each, the value in YAML; laid over the file before it is checked.
    expand : bool
        Whether ``${NAME}`` is replaced from the environment. False for the manifest of a run folder
        that somebody else may have made: it would put a reader's secrets into a report.

    Raises
    ------
    ManifestError
        The file cannot be read, is no YAML, or says something that cannot be.
    """
    if isinstance(path, Mapping):
        raw = _as_yaml(path)
        path = Path("manifest")
    else:
        path = Path(path)
        raw = _read_yaml(path)
    for override in overrides:
        _apply(raw, override)
    _rename(raw, path.name)
    for internal in ("folder", "source"):
        if internal in raw:
            raise ManifestError(f"{path.name}: {internal}: unknown key; leave it out")
    expanded = _expand(raw, path.name) if expand else raw
    source = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)
    base = expanded.get("relative_to")
    folder = path.resolve().parent / (base if isinstance(base, str) else "")
    try:
        return Manifest.model_validate({**expanded, "folder": folder.resolve(), "source": source})
    except ValidationError as error:
        lines = [_sentence(item, raw) for item in error.errors(include_url=False)]
        raise ManifestError("\n".join(f"{path.name}: {line}" for line in lines)) from error


def _read_yaml(path: Path) -> dict[str, object]:
    if not os.path.lexists(declared_path(Path(), path, "manifest")):
        raise ManifestError(
            f"{path}: no such file. Write one with `saliency-audit init`, or name another."
        )
    try:
        raw = load_yaml(read_declared(path, "manifest", MAX_BYTES).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{path}: cannot be read as UTF-8 text ({error}). Save it as UTF-8; is it the manifest?"
        ) from error
    except UnreadableYamlError as error:
        # To YAML the brace of ${NAME} is one more of those that it stands in.
        hint = ' Between braces, write "${NAME}/..." in quotes.' if "${" in str(error) else ""
        raise ManifestError(
            f"{path.name}: not valid YAML: {error}. Correct it there; `saliency-audit init` writes "
            f"a manifest that is.{hint}"
        ) from error
    if not isinstance(raw, dict):
        raise ManifestError(
            f"{path.name}: expected a mapping of keys (name, dataset, model, ...), "
            f"found {type(raw).__name__}"
        )
    return raw


def _as_yaml(declared: Mapping[str, object]) -> dict[str, object]:
    """What a mapping would be, had it been written to a file and read again."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    try:
        raw: dict[str, object] = load_yaml(yaml.safe_dump(plain(declared)))
    except RecursionError:
        raise ManifestError(
            "manifest: a value that holds itself. Expected mappings, lists, texts and numbers."
        ) from None
    except (UnreadableYamlError, yaml.YAMLError) as error:
        raise ManifestError(f"manifest: expected values that YAML can hold: {error}") from error
    return raw


def _apply(raw: dict[str, object], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ManifestError(f"--set: expected key.path=value, found {override!r}")
    *parents, last = key.split(".")
    section: Any = raw
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise ManifestError(
                f"--set {key}: {parent} is not a section of keys. Write section.key=value"
            )
    try:
        section[last] = load_yaml(text)
    except UnreadableYamlError as error:
        raise ManifestError(f"--set {key}: {text[:80]!r} is not valid YAML: {error}") from error


def _rename(raw: dict[str, object], file: str) -> None:
    """Put today's names in the place of those of earlier versions, and say so."""
    for (section, old), new in RENAMED.items():
        keys = raw.get(section)
        if not isinstance(keys, dict) or old not in keys:
            continue
        if new in keys:
            raise ManifestError(
                f"{file}: {section}.{old} is the former name of {section}.{new}; found both. "
                f"Remove {section}.{old}."
            )
        raw[section] = {new if key == old else key: value for key, value in keys.items()}
        _log.warning(
            "%s: %s.%s is now called %s.%s; the next release will not know the former name",
            *(file, section, old, section, new),
        )


def _expand(value: Any, key: str) -> Any:
    """Put the environment in the place of ``${NAME}``, in values only."""
    if isinstance(value, str):

        def lookup(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in os.environ:
                raise ManifestError(
                    f"{key}: the environment variable {name} is not set. Set it, or write a value."
                )
            remember(name, os.environ[name])
            return os.environ[name]

        return _ENVIRONMENT.sub(lookup, value)
    if isinstance(value, Mapping):
        return {k: _expand(v, f"{key}: {k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(item, f"{key}[{i}]") for i, item in enumerate(value)]
    return value


def _sentence(item: Any, raw: Any) -> str:
    """One pydantic error in words: key, expected, found."""
    location = [part for part in item["loc"] if not _is_branch(part)]
    key = ".".join(str(part) for part in location) or "manifest"
    if item["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"{key}: unknown key. Expected one of: {', '.join(known)}.{hint}"
    if item["type"] == "missing":
        return f"{key}: missing. It must be written."
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{key}: expected {message.removeprefix('expected ')}, found {_found(item, raw)}"


def _found(item: Any, raw: Any) -> str:
    """What stands at a place of the manifest: its first characters, the environment by its name."""
    written: Any = raw
    for part in item["loc"]:
        try:
            written = written[part]
        except (TypeError, KeyError, IndexError):
            break
    from_environment = isinstance(written, str) and _ENVIRONMENT.search(written)
    shown = repr(written if from_environment else item["input"])
    return shown if len(shown) <= 100 else f"{shown[:99]}…"


def _is_branch(part: Any) -> bool:
    """Whether `part` is pydantic's name for a branch of a union, and no key of the user's."""
    return isinstance(part, str) and bool(
        re.match(r"(literal|tuple|function-[a-z]+|constrained-int)\[|^int$", part)
    )


def _known_keys(location: Sequence[Any]) -> list[str]:
    section: Any = Manifest
    for part in location:
        annotation = section.model_fields[part].annotation
        section = next((a for a in get_args(annotation) if hasattr(a, "model_fields")), annotation)
    return [name for name in section.model_fields if name not in ("folder", "source")]
