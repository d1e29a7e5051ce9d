"""Addresses that only the node may read: JWE in the compact serialization (RFC 7516 section 7.1, RFC 9246 section 2.1.10)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .keys import from_base64url, to_base64url
from .policy import loads

_MOST_CHARACTERS = 1024
_WRAPS = {"dir": None, "A128KW": 16, "A256KW": 32}
_CONTENTS = {"A128GCM": 16, "A256GCM": 32}


@dataclass(frozen=True)
class EncryptionKey:
    """An AES key, ready to use. Its ``repr`` shows nothing of it."""

    material: bytes = field(repr=False)


def encryption_key(text: str) -> EncryptionKey:
    """Reads 16 or 32 bytes in base64url, as ``k`` of a JWK has them and ``selvedge key new --kind aes`` makes them."""
    material = from_base64url(text.strip())
    if material is None or len(material) not in (16, 32):
        raise ValueError("an encryption key is 16 or 32 bytes in base64url")
    return EncryptionKey(material)


def _cipher(material: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ImportError("encryption needs the package cryptography: pip install 'selvedge-signing[keys]'") from error
    return AESGCM(material)


def is_sealed(text: str) -> bool:
    return text.count(".") == 4


class Unreadable(Exception):
    """Why it cannot be read, as in the node's log."""


def unseal(sealed: str, keys: Mapping[str, EncryptionKey]) -> str:
    """What is encrypted; raises :class:`Unreadable`."""
    protected, wrapped, nonce, text, tag = (from_base64url(part) for part in sealed.split("."))
    header = _header(protected)
    if len(sealed) > _MOST_CHARACTERS or header is None or wrapped is None or text is None:
        raise Unreadable("token-malformed")
    if nonce is None or len(nonce) != 12 or tag is None or len(tag) != 16 or (header["alg"] == "dir" and wrapped):
        raise Unreadable("token-malformed")
    named = header.get("kid", next(iter(keys)) if len(keys) == 1 else None)
    if named not in keys:
        raise Unreadable("key-unknown")
    content = _content_key(header["alg"], keys[named].material, wrapped)
    if len(content) != _CONTENTS[header["enc"]]:
        raise Unreadable("decryption-failed")
    from cryptography.exceptions import InvalidTag

    try:
        return _cipher(content).decrypt(nonce, text + tag, sealed.partition(".")[0].encode()).decode("utf-8", "replace")
    except InvalidTag:
        raise Unreadable("decryption-failed") from None


def seal(text: str, key_id: str, key: EncryptionKey) -> str:
    """Encrypts with the key itself (``dir``, RFC 7518 section 4.5)."""
    enc = "A128GCM" if len(key.material) == 16 else "A256GCM"
    header = json.dumps({"alg": "dir", "enc": enc, "kid": key_id}, separators=(",", ":"))
    protected, nonce = to_base64url(header.encode()), os.urandom(12)
    data = _cipher(key.material).encrypt(nonce, text.encode(), protected.encode())
    return ".".join([protected, "", *(to_base64url(part) for part in (nonce, data[:-16], data[-16:]))])


def _header(data: bytes | None) -> dict[str, Any] | None:
    try:
        header = loads((data or b"").decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or header.keys() & {"crit", "zip"} or not isinstance(header.get("kid", ""), str):
        return None
    known = isinstance(header.get("alg"), str) and isinstance(header.get("enc"), str)
    return header if known and header["alg"] in _WRAPS and header["enc"] in _CONTENTS else None


def _content_key(alg: str, material: bytes, wrapped: bytes) -> bytes:
    if alg == "dir":
        return material
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

    try:
        if len(material) != _WRAPS[alg]:
            raise Unreadable("decryption-failed")
        return aes_key_unwrap(material, wrapped)
    except (InvalidUnwrap, ValueError):
        raise Unreadable("decryption-failed") from None
