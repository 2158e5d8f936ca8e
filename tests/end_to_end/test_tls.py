"""A space over real TLS: who trusts its certificate is served, who does not is not."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from examples.longyizhen.processes import Services, run_hexi
from examples.longyizhen.scenario import eventually

pytestmark = pytest.mark.process


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=3650))
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


def wait(url: str, certificate: Path) -> None:
    """Until it answers over TLS."""
    context = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(verify=context) as client:

        def answers() -> bool:
            try:
                return client.get(f"{url}/health", timeout=2.0).is_success
            except httpx.HTTPError:
                return False

        eventually("the space over TLS", answers, bool)


def test_a_space_over_tls(tmp_path: Path, free_port: int) -> None:
    certificate, key = self_signed(tmp_path)
    with Services(tmp_path) as services:
        services.launch(
            "space",
            ["space", "serve"],
            port=free_port,
            environment={
                "HEXI_SPACE_HOME": str(tmp_path / "space"),
                "HEXI_SPACE_PORT": str(free_port),
                "HEXI_SPACE_TLS_CERTIFICATE": str(certificate),
                "HEXI_SPACE_TLS_KEY": str(key),
            },
        )
        url = f"https://127.0.0.1:{free_port}"
        wait(url, certificate)
        trusting = run_hexi(["space", "status", "--url", url], {"SSL_CERT_FILE": str(certificate)})
        assert trusting.returncode == 0, trusting.stderr
        assert "did:web:127.0.0.1" in trusting.stdout
        distrusting = run_hexi(["space", "status", "--url", url])
        assert distrusting.returncode == 3
        assert "Traceback" not in distrusting.stderr
