"""Certificates for servers and clients, made for a test: good ones, and those that are refused."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL = ("localhost", "127.0.0.1")
DAY = datetime.timedelta(days=1)
# The tag and the length of the field that says version 3.
VERSION_3 = b"\xa0\x03\x02\x01\x02"


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files that MongoDB's servers and clients take."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    path: Path
    """A PEM file with the certificate and its key."""

    @property
    def subject(self) -> str:
        """The name of the user that MongoDB makes of it: what is not ASCII is escaped."""
        name = self.certificate.subject.rfc4514_string()
        return "".join(
            each if each.isascii() else "".join(f"\\{byte:02X}" for byte in each.encode())
            for each in name
        )

    def encrypted(self, path: Path, password: str, *, traditional: bool = False) -> Path:
        """Writes it with an encrypted key, in the traditional form of OpenSSL or as PKCS #8."""
        form = serialization.PrivateFormat
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            form.TraditionalOpenSSL if traditional else form.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )
        path.write_bytes(pem_of(self.certificate) + key)
        return path


def pem_of(certificate: x509.Certificate) -> bytes:
    """The certificate alone, as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A certificate authority that keeps its files in `directory`."""

    def __init__(self, directory: Path, name: str = "Test authority") -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = distinguished(name, "Authority")
        builder = self._builder(self.name, self.key, DAY * -1, DAY * 30)
        self.certificate = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ).sign(self.key, hashes.SHA256())
        self.path = directory / f"{name.replace(' ', '_')}.pem"
        self.path.write_bytes(pem_of(self.certificate))

    def issue(
        self,
        name: str,
        *,
        names: Sequence[str] = LOCAL,
        begins: datetime.timedelta = DAY * -1,
        ends: datetime.timedelta = DAY * 30,
        unit: str = "Servers",
    ) -> Certificate:
        """A certificate for a server of these `names`; a client's has none."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(distinguished(name, unit), key, begins, ends)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([general(each) for each in names]), critical=False
            )
        return self._written(name, builder.sign(self.key, hashes.SHA256()), key)

    def version_1(self, name: str) -> Certificate:
        """A certificate of X.509 version 1, which has no extensions."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(distinguished(name, "Servers"), key, DAY * -1, DAY * 30)
        # No builder makes one: it is a certificate of version 3 without the field that says so.
        signed = sequence_content(builder.sign(self.key, hashes.SHA256()).tbs_certificate_bytes)
        assert signed.startswith(VERSION_3)
        content = sequence(signed.removeprefix(VERSION_3))
        signature = self.key.sign(content, ec.ECDSA(hashes.SHA256()))
        # ecdsa-with-SHA256, and the signature as a string of bits.
        algorithm = bytes.fromhex("300a06082a8648ce3d040302")
        bits = b"\x03" + length(len(signature) + 1) + b"\x00" + signature
        certificate = x509.load_der_x509_certificate(sequence(content + algorithm + bits))
        assert certificate.version is x509.Version.v1
        return self._written(name, certificate, key)

    def as_server(self, name: str) -> Certificate:
        """A certificate that signs itself and says that it is an authority's."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(
            distinguished(name, "Servers"), key, DAY * -1, DAY * 30, itself=True
        )
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([general(each) for each in LOCAL]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        return self._written(name, certificate, key)

    def _written(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> Certificate:
        path = self.directory / f"{name.replace(' ', '_')}.pem"
        path.write_bytes(
            pem_of(certificate)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Certificate(certificate, key, path)

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        begins: datetime.timedelta,
        ends: datetime.timedelta,
        *,
        itself: bool = False,
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if itself else self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )


def distinguished(name: str, unit: str) -> x509.Name:
    """A distinguished name."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def general(name: str) -> x509.GeneralName:
    """A host's name or address, as a certificate has it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def length(size: int) -> bytes:
    """A length in DER."""
    if size < 0x80:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def sequence(content: bytes) -> bytes:
    """A sequence in DER."""
    return b"\x30" + length(len(content)) + content


def sequence_content(encoded: bytes) -> bytes:
    """What a sequence in DER holds."""
    return encoded[2 + (encoded[1] & 0x7F if encoded[1] & 0x80 else 0) :]
