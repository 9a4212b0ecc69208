"""``saliency-audit sign``: the report as a PDF signed by certificate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from audit.errors import RunFolderError
from flows.cli.terminal import AsJson, err, print_json, shown

PASSPHRASE = "SALIENCY_AUDIT_PASSPHRASE"  # noqa: S105 (the name of a variable)
"""The environment variable that holds the passphrase of the certificate."""


def sign(
    run_dir: Annotated[str, typer.Argument(help="A run folder with report.pdf.")],
    certificate: Annotated[str, typer.Option(help="PKCS #12 file (.p12, .pfx) of who signs.")],
    passphrase_file: Annotated[
        str | None,
        typer.Option(help=f"Its first line opens the certificate; else ${PASSPHRASE} does."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who signs; default: whom the certificate names.")] = "",
    reason: Annotated[str, typer.Option(help="Why, e.g. 'released for use'.")] = "",
    as_json: AsJson = False,
) -> None:
    """Sign report.pdf by certificate: the report that is signed cannot be changed unseen."""
    from audit.pipeline.sign import sign as sign_report

    passphrase = _passphrase(passphrase_file)
    written = sign_report(run_dir, certificate, passphrase, by=by, reason=reason)
    err.print(f"Signed: {escape(shown(written))}")
    if as_json:
        print_json({"signed": str(written)})


def _passphrase(path: str | None) -> bytes | None:
    """From a file or the environment: a command line is read by whoever lists processes."""
    if path is None:
        passphrase = os.environ.get(PASSPHRASE)
        return passphrase.encode() if passphrase else None
    try:
        return Path(path).read_bytes().partition(b"\n")[0].rstrip(b"\r") or None
    except OSError as error:
        raise RunFolderError(f"--passphrase-file: {path} cannot be read ({error})") from None
