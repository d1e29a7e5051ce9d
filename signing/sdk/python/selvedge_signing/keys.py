"""Keys: RSA, P-256 and Ed25519 by the package cryptography, HMAC by Python itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Any

ALGORITHMS = {"rsa": "PS256", "p256": "ES256", "ed25519": "EdDSA", "hmac": "HS256"}


@dataclass(frozen=True)
class Key:
    """A key, ready to use. Its ``repr`` shows nothing of it."""

    kind: str
    signs: bool
    material: Any = field(repr=False)


def _cryptography() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise ImportError("keys in PEM need the package cryptography: pip install 'selvedge-signing[keys]'") from error
    return serialization


def _kind(material: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(material, (rsa.RSAPrivateKey, rsa.RSAPublicKey)) and 2048 <= material.key_size <= 8192:
        return "rsa"
    if isinstance(material, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)) and material.curve.name == "secp256r1":
        return "p256"
    if isinstance(material, (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey)):
        return "ed25519"
    raise ValueError("the key must be RSA of 2048 to 8192 bits, P-256 or Ed25519")


def private_key(pem: str) -> Key:
    """Reads PEM with ``BEGIN PRIVATE KEY``, ``BEGIN RSA PRIVATE KEY`` or ``BEGIN EC PRIVATE KEY``, not encrypted."""
    material = _cryptography().load_pem_private_key(pem.encode(), None)
    return Key(_kind(material), True, material)


def public_key(pem: str) -> Key:
    """Reads PEM with ``BEGIN PUBLIC KEY``."""
    material = _cryptography().load_pem_public_key(pem.encode())
    return Key(_kind(material), False, material)


def secret(text: str) -> Key:
    """A secret of at least 32 bytes: the text's bytes, without white space at its ends, are the key."""
    material = text.strip().encode()
    if len(material) < 32:
        raise ValueError("a secret must have at least 32 bytes")
    return Key("hmac", True, material)


def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes | None:
    """``None`` for what is no base64url, or not the one spelling of its bytes."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text, re.ASCII):
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if to_base64url(data) == text else None


def sign_policy(key: Key, message: bytes) -> bytes:
    """A CloudFront signature with SHA-256."""
    if not key.signs or key.kind not in ("rsa", "p256"):
        raise ValueError(f"a {key.kind} key does not sign for CloudFront")
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    if key.kind == "rsa":
        return key.material.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return key.material.sign(message, ec.ECDSA(hashes.SHA256()))


def fits(key: Key, signature: bytes) -> bool:
    """Whether the form of a CloudFront signature fits its key."""
    return len(signature) == key.material.key_size // 8 if key.kind == "rsa" else 8 <= len(signature) <= 72


def _verified(check: Any) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        check()
    except InvalidSignature:
        return False
    return True


def verify_policy(key: Key, algorithm: str, message: bytes, signature: bytes) -> bool:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    digest = hashes.SHA1() if algorithm == "SHA1" else hashes.SHA256()  # noqa: S303 (CloudFront's default)
    if key.kind == "rsa":
        return _verified(lambda: key.material.verify(signature, message, padding.PKCS1v15(), digest))
    return _verified(lambda: key.material.verify(signature, message, ec.ECDSA(digest)))


def sign_bytes(key: Key, message: bytes) -> bytes:
    """The signature of a JWT, or a MAC."""
    if key.kind == "hmac":
        return hmac.new(key.material, message, hashlib.sha256).digest()
    if key.kind == "ed25519":
        return key.material.sign(message)
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    if key.kind == "rsa":
        return key.material.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    r, s = utils.decode_dss_signature(key.material.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify_bytes(key: Key, message: bytes, signature: bytes) -> bool:
    """MACs are compared in constant time."""
    if key.kind == "hmac":
        return hmac.compare_digest(sign_bytes(key, message), signature)
    if key.kind == "ed25519":
        return _verified(lambda: key.material.verify(signature, message))
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    if key.kind == "rsa":
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return _verified(lambda: key.material.verify(signature, message, pss, hashes.SHA256()))
    if len(signature) != 64:
        return False
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    return _verified(lambda: key.material.verify(der, message, ec.ECDSA(hashes.SHA256())))
