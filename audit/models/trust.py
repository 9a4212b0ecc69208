"""Files that can run code: taken only where somebody wrote down which one is meant."""

from __future__ import annotations

import re
from pathlib import Path

from audit.errors import ModelError
from audit.models.hashes import file_sha256


def check_trust(path: str | Path | None, trust: str | None, what: str) -> Path:
    """Let a file pass only whose sha256 stands in the manifest.

    Parameters
    ----------
    path : Path
        ``model.weights``.
    trust : str or None
        ``model.trust``.
    what : str
        What kind of file it is, for the message.

    Raises
    ------
    ModelError
        No such file, no trust, or another file.
    """
    if not isinstance(path, Path):
        raise ModelError(f"model.weights: expected a file, {what}; found {path!r}")
    found = file_sha256(path)
    if trust is None:
        raise ModelError(
            f"model.trust: missing. {path.name} is {what}, and loading it can run code. If you "
            f"know who made it, write model.trust: {found}"
        )
    if not isinstance(trust, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", trust):
        raise ModelError("model.trust: expected the sha256 of the file, 64 hexadecimal digits")
    if found != trust.lower():
        raise ModelError(
            f"model.trust: another file is trusted than {path.name}, whose sha256 is {found}. "
            "Was it replaced? Do not load it unless you know why."
        )
    return path


def trusted_remark(path: Path, what: str) -> str:
    """Say that a file was trusted that could run code."""
    return f"model.trust: {path.name} is {what}; it was loaded because the manifest trusts it"
