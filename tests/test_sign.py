"""The signed report: valid as it is, invalid once a byte is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
import weasyprint
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext
from typer.testing import CliRunner

from audit.errors import RunFolderError
from audit.pipeline.sign import SIGNED, sign
from flows.cli import app
from flows.cli.sign import PASSPHRASE

SECRET = b"open sesame"


def certificate(path: Path, name: str) -> Path:
    """A certificate that signs itself, in a PKCS #12 file that :data:`SECRET` opens."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.KeyUsage(True, True, *[False] * 7),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    sealed = serialization.BestAvailableEncryption(SECRET)
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"a", key, made, None, sealed))
    return path


def statuses(content: bytes, *trusted: Path) -> list[PdfSignatureStatus]:
    """What pyHanko's validator says of each signature, where these certificates are trusted."""
    roots = []
    for path in trusted:
        held = pkcs12.load_pkcs12(path.read_bytes(), SECRET).cert
        assert held is not None
        der = held.certificate.public_bytes(serialization.Encoding.DER)
        roots.append(asn1.Certificate.load(der))
    context = ValidationContext(trust_roots=roots, allow_fetching=False)
    found = PdfFileReader(BytesIO(content)).embedded_signatures
    return [validate_pdf_signature(one, context) for one in found]


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("keys") / "ada.p12", "Ada Example")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    page = weasyprint.HTML(string="<h1>Verdict</h1>").write_pdf(pdf_variant="pdf/ua-1")
    (tmp_path / "report.pdf").write_bytes(page)
    return tmp_path


def test_a_signature_covers_the_whole_report_and_says_who_and_when(run: Path, ada: Path) -> None:
    signed = sign(run, ada, SECRET, by="Ada Example", reason="released").read_bytes()
    assert signed.startswith((run / "report.pdf").read_bytes())
    (status,) = statuses(signed, ada)
    assert status.bottom_line
    assert status.trusted
    assert status.coverage.name == "ENTIRE_FILE"
    assert abs(datetime.now(UTC) - status.signer_reported_dt) < timedelta(minutes=5)
    assert status.signing_cert.subject.native["common_name"] == "Ada Example"
    (held,) = PdfFileReader(BytesIO(signed)).embedded_signatures
    assert (held.sig_object["/Name"], held.sig_object["/Reason"]) == ("Ada Example", "released")


@pytest.mark.parametrize("place", [0.3, 0.5])
def test_a_changed_byte_makes_it_invalid(run: Path, ada: Path, place: float) -> None:
    content = bytearray(sign(run, ada, SECRET).read_bytes())
    stream = content.find(b"stream") + 8
    length = len((run / "report.pdf").read_bytes())
    content[stream + int(place * (length - stream) / 4)] ^= 1
    (status,) = statuses(bytes(content), ada)
    assert not status.intact
    assert not status.bottom_line


def test_who_is_not_trusted_is_not_called_so(run: Path, ada: Path, tmp_path: Path) -> None:
    eve = certificate(tmp_path / "eve.p12", "Ada Example")
    (status,) = statuses(sign(run, eve, SECRET).read_bytes(), ada)
    assert status.intact
    assert not status.trusted


def test_two_people_sign_one_report(run: Path, ada: Path, tmp_path: Path) -> None:
    bob = certificate(tmp_path / "bob.p12", "Bob Example")
    sign(run, ada, SECRET)
    signed = sign(run, bob, SECRET).read_bytes()
    assert [one.bottom_line for one in statuses(signed, ada, bob)] == [True, True]
    (run / "report.pdf").write_bytes(b"%PDF-1.7 another")
    with pytest.raises(RunFolderError, match=r"signs an earlier report\.pdf"):
        sign(run, ada, SECRET)
    assert (run / SIGNED).read_bytes() == signed


def test_what_cannot_be_signed_is_said(run: Path, ada: Path, tmp_path: Path) -> None:
    for passphrase, said in ((b"wrong", "with the passphrase"), (None, "without a passphrase")):
        with pytest.raises(RunFolderError, match=f"cannot be opened {said}"):
            sign(run, ada, passphrase)
    (tmp_path / "no.p12").write_bytes(b"no certificate")
    with pytest.raises(RunFolderError, match="Expected a PKCS #12 file"):
        sign(run, tmp_path / "no.p12", SECRET)
    with pytest.raises(RunFolderError, match="cannot be read"):
        sign(run, tmp_path / "missing.p12", SECRET)
    assert not (run / SIGNED).exists()
    (run / "report.pdf").unlink()
    with pytest.raises(RunFolderError, match=r"no report\.pdf to sign"):
        sign(run, ada, SECRET)


def test_the_passphrase_comes_from_a_file_or_the_environment_alone(
    run: Path, ada: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["sign", str(run), "--certificate", str(ada)]
    monkeypatch.setenv(PASSPHRASE, SECRET.decode())
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    (run / SIGNED).unlink()
    monkeypatch.delenv(PASSPHRASE)
    (tmp_path / "secret").write_bytes(SECRET + b"\r\n")
    arguments += ["--passphrase-file", str(tmp_path / "secret")]
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (run / SIGNED).is_file()
    assert CliRunner().invoke(app, [*arguments, "--passphrase", "x"]).exit_code == 2
