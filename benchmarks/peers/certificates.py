"""A certificate authority of our own, and a certificate of its for this machine: TLS between processes on loopback."""

from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hexi.canonical import system_clock

LIFETIME = timedelta(days=2)
_HERE = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])


class Certificates:
    """Files in `folder`, made at once. Who sets ``SSL_CERT_FILE`` to `authority` trusts whoever shows `server`."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.server, self.key = folder / "authority.pem", folder / "server.pem", folder / "server.key"
        now = system_clock()
        signer, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = _described("Hexi benchmarks", "Hexi benchmarks", signer.public_key(), now)
        root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        leaf = _described("127.0.0.1", "Hexi benchmarks", theirs.public_key(), now).add_extension(_HERE, critical=False)
        for path, described in ((self.authority, root), (self.server, leaf)):
            made = described.sign(signer, hashes.SHA256())
            path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self.key.touch(mode=0o600)
        self.key.write_bytes(
            theirs.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _described(subject: str, issuer: str, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=_named(subject),
        issuer_name=_named(issuer),
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(minutes=5),
        not_valid_after=now + LIFETIME,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
