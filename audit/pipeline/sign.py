"""A report signed by certificate: PAdES (ETSI EN 319 142), by pyHanko."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from audit.errors import RunFolderError
from audit.run_folder import RunFolder
from audit.writing import write_bytes

if TYPE_CHECKING:
    from pyhanko.sign.signers import SimpleSigner

SIGNED = "report.signed.pdf"
"""Beside ``report.pdf``: a report that is written again does not take the signatures with it."""


def sign(
    run_dir: str | Path,
    certificate: str | Path,
    passphrase: bytes | None = None,
    *,
    by: str = "",
    reason: str = "",
) -> Path:
    """Sign ``report.pdf`` of a run; who signs after somebody else adds a signature.

    Parameters
    ----------
    run_dir : str or Path
        A run folder with a PDF.
    certificate : str or Path
        A PKCS #12 file (``.p12``, ``.pfx``) with key and certificate.
    passphrase : bytes, optional
        Of that file.
    by, reason : str
        Who signs, and why, as the signature's properties show; ``by`` is otherwise the subject of
        the certificate.

    Returns
    -------
    Path
        Of ``report.signed.pdf``. Its signatures cover every byte of ``report.pdf`` and carry the
        time of this computer's clock; no authority of time stamps is asked.

    Raises
    ------
    RunFolderError
        There is no PDF, the certificate cannot be opened, pyHanko is not installed, or the signed
        file that lies there is of another report.
    """
    run = RunFolder(Path(run_dir).resolve())
    signer = _signer(Path(certificate), passphrase)
    target = run.path / SIGNED
    # One at a time: the second of two people signs what the first has signed.
    with run.locked():
        signed = _with_signature(_to_be_signed(run.path / "report.pdf", target), signer, by, reason)
        write_bytes(target, signed)
    return target


def _to_be_signed(report: Path, target: Path) -> bytes:
    if not report.is_file():
        raise RunFolderError(
            f"{report.parent}: no report.pdf to sign. Write it with "
            "`report RUN_DIR --set report.formats=[html,pdf]`."
        )
    content = report.read_bytes()
    if not target.exists():
        return content
    pdf = target.read_bytes()
    # A signature is appended: the document that it signs stands before it, byte for byte.
    if not pdf.startswith(content):
        raise RunFolderError(
            f"{target}: signs an earlier report.pdf than the one beside it. Keep it elsewhere, and "
            "sign again."
        )
    return pdf


def _signer(certificate: Path, passphrase: bytes | None) -> SimpleSigner:
    try:
        from pyhanko.sign.signers import SimpleSigner
    except ImportError as error:
        raise RunFolderError(
            f"signing needs pyHanko ({error}). Install it: pip install 'saliency-audit[sign]'"
        ) from None
    try:
        signer: SimpleSigner = SimpleSigner.load_pkcs12_data(
            certificate.read_bytes(), [], passphrase
        )
    except OSError as error:
        raise RunFolderError(f"--certificate: {certificate} cannot be read ({error})") from None
    except (ValueError, AttributeError):
        # AttributeError: a file without a key.
        given = "with the passphrase that was given" if passphrase else "without a passphrase"
        raise RunFolderError(
            f"--certificate: {certificate} cannot be opened {given}. Expected a PKCS #12 file "
            "(.p12, .pfx) that holds a key and its certificate; is it the right passphrase?"
        ) from None
    return signer


def _with_signature(content: bytes, signer: SimpleSigner, by: str, reason: str) -> bytes:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import PdfSignatureMetadata, PdfSigner
    from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter

    # It logs at length what it then raises.
    logging.getLogger("pyhanko").setLevel(logging.ERROR)
    writer = IncrementalPdfFileWriter(BytesIO(content))
    field = f"Signature{len(writer.prev.embedded_signatures) + 1}"
    metadata = PdfSignatureMetadata(
        field_name=field,
        md_algorithm="sha256",
        subfilter=SigSeedSubFilter.PADES,
        name=by or None,
        reason=reason or None,
    )
    signed = PdfSigner(metadata, signer, new_field_spec=SigFieldSpec(field)).sign_pdf(writer)
    result: bytes = signed.getvalue()
    return result
