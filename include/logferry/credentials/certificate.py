"""A client certificate with its private key, from PEM or PFX."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from logferry.errors import CredentialsError


def client_certificate(conn_id: str, proof: str, *, inline: bool, passphrase: str | None) -> dict[str, str]:
    """MSAL's ``client_credential`` for a certificate.

    ``proof`` is the path of a PEM file (certificate and private key) or a PFX file; with ``inline`` the PEM
    text itself or the base64 of a PFX file. Raises CredentialsError; no message shows any of it.
    """
    source = "certificate_data" if inline else f"certificate_path {proof!r}"
    content = _decoded(conn_id, proof) if inline else _file(conn_id, proof)
    password = passphrase.encode() if passphrase else None
    # None instead of the libraries' exceptions: those may quote what they could not read.
    key_and_certificate = (
        _from_pem(content, password) if b"-----BEGIN" in content else _from_pfx(content, password)
    )
    if key_and_certificate is None:
        raise CredentialsError(
            f"Connection {conn_id!r}: {source} must hold a certificate and its RSA private key as PEM or "
            "PFX, and certificate_password their passphrase if they have one."
        )
    key, certificate = key_and_certificate
    return {"private_key": key, "public_certificate": certificate}


def _file(conn_id: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CredentialsError(
            f"Connection {conn_id!r}: certificate_path {path!r} cannot be read ({error.strerror}): correct the "
            "path, or let this user read the file."
        ) from error


def _decoded(conn_id: str, data: str) -> bytes:
    if "-----BEGIN" in data:
        # Some forms and variables keep line breaks as the two characters \n.
        return data.replace("\\n", "\n").encode()
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_pem(content: bytes, password: bytes | None) -> tuple[str, str] | None:
    try:
        key = load_pem_private_key(content, password)
        certificates = x509.load_pem_x509_certificates(content)
    except (ValueError, TypeError):
        return None
    return _texts(key, certificates)


def _from_pfx(content: bytes, password: bytes | None) -> tuple[str, str] | None:
    try:
        key, certificate, chain = pkcs12.load_key_and_certificates(content, password)
    except ValueError:
        return None
    return _texts(key, [certificate, *chain] if certificate else [])


def _texts(key: object, certificates: list[x509.Certificate]) -> tuple[str, str] | None:
    """Both as PEM, the key's own certificate first, where MSAL takes the thumbprint from.

    None where no certificate belongs to the key, or where it is not the RSA key that Entra asks for.
    """
    if not isinstance(key, rsa.RSAPrivateKey):
        return None
    own = [certificate for certificate in certificates if certificate.public_key() == key.public_key()]
    if not own:
        return None
    ordered = [own[0], *(certificate for certificate in certificates if certificate is not own[0])]
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), "".join(each.public_bytes(Encoding.PEM).decode() for each in ordered)
