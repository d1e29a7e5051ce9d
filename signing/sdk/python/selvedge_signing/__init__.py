"""Signed URLs, cookies and tokens: minted and checked over the exact bytes of a URL as viewers send them.

Nothing is parsed, decoded or encoded again on the way, for that is where signatures break.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import Any

from . import keys as _keys
from .encrypted import EncryptionKey, encryption_key, seal
from .keys import Key, private_key, public_key, secret
from .policy import Policy, canned, canonical, encode, network
from .verify import NAMES, Verdict, covered, has_dot_segments, reach, verify

__all__ = [
    "EncryptionKey", "Key", "Verdict", "encryption_key", "private_key", "public_key", "secret", "sign_cookies", "sign_jwt", "sign_token", "sign_url",
    "verify", "with_token",
]

Time = datetime | int


def _seconds(time: Time) -> int:
    seconds = int(time.timestamp()) if isinstance(time, datetime) else time
    if type(seconds) is not int or not 1 <= seconds <= 999_999_999_999:
        raise ValueError("a time is a datetime, or whole seconds since 1970")
    return seconds


def _split(url: str) -> tuple[str, str, str]:
    parts = re.fullmatch(r"(https?)://([^/?#@]+)(/[^#]*)", url)
    if not parts or re.search(r'[^\x21-\x7e]|["\\]', url) or parts[2].endswith({"http": ":80", "https": ":443"}[parts[1]]):
        raise ValueError(
            "not a URL as viewers send it (http or https, a path, percent-encoded, no default port, no fragment): " + url
        )
    if has_dot_segments(parts[3]):
        raise ValueError("viewers resolve the segments . and .. of a path; sign what they come to: " + url)
    if parts[2] != parts[2].lower():
        raise ValueError("viewers send the host in lower case; write it so")
    return parts[1], parts[2], parts[3]


def _check_key_id(key_id: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", key_id, re.ASCII):
        raise ValueError("a key id has letters, digits and - _ . ~ only")


def _append(url: str, parameters: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{parameters}"


def _cloudfront(
    url: str | None, resource: str | None, expires: Time, starts: Time | None, ip: str | None, key_id: str, key: Key
) -> list[tuple[str, str]]:
    _check_key_id(key_id)
    if url is not None:
        _split(url)
    elif resource is None:
        raise ValueError("a resource is needed, or a url")
    until = _seconds(expires)
    terms: tuple[str, str]
    if resource is None and starts is None and ip is None:
        text = canned(url or "", until)
        terms = ("Expires", str(until))
    else:
        text = Policy(until, resource or url, None if starts is None else _seconds(starts), ip).to_json()
        terms = ("Policy", encode(text.encode()))
    signature = encode(_keys.sign_policy(key, text.encode()))
    return [terms, ("Signature", signature), ("Key-Pair-Id", key_id), ("Hash-Algorithm", "SHA256")]


def sign_url(
    url: str, *, expires: Time, key_id: str, key: Key, starts: Time | None = None, ip: str | None = None,
    resource: str | None = None,
) -> str:
    """Signs as CloudFront's signers do: a custom policy where ``starts``, ``ip`` or ``resource`` is given, else a canned one."""
    if re.search(r"[?&](Expires|Policy|Signature|Key-Pair-Id|Hash-Algorithm)(=|&|$)", url):
        raise ValueError("the URL has signing parameters already; sign it without them")
    parameters = _cloudfront(url, resource, expires, starts, ip, key_id, key)
    return _append(url, "&".join(f"{name}={value}" for name, value in parameters))


def sign_cookies(
    url: str | None = None, *, expires: Time, key_id: str, key: Key, starts: Time | None = None, ip: str | None = None,
    resource: str | None = None,
) -> dict[str, str]:
    """The cookies that open ``url``, or what ``resource`` is about: names and values, to be set as they are."""
    parameters = _cloudfront(url, resource, expires, starts, ip, key_id, key)
    return {f"CloudFront-{name}": value for name, value in parameters}


def sign_token(
    url: str | None = None, *, expires: Time, key_id: str, key: Key, prefix: str | None = None, ip: str | None = None
) -> str:
    """A token of the scheme ``hmac``: for one URL, or for all that begin with a prefix that ends with a slash."""
    _check_key_id(key_id)
    scheme, authority, path_and_query = _split(prefix or url or "")
    extent = len(path_and_query) if prefix else 0
    part = reach(path_and_query, extent)
    if part is None:
        raise ValueError("a prefix ends with a slash of the path")
    until = _seconds(expires)
    if ip is not None and canonical(ip) is None:
        raise ValueError("a token is for one address: " + ip)
    ip = canonical(ip)
    mac = _keys.sign_bytes(key, covered(key_id, until, extent, ip, scheme, authority, part))
    return f"1.{until}.{extent}.{'a' if ip else '-'}.{_keys.to_base64url(mac)}.{key_id}"


def sign_jwt(
    url: str | None = None, *, key_id: str, key: Key, pattern: str | None = None, expires: Time | None = None,
    starts: Time | None = None, ip: str | None = None, issuer: str | None = None, audience: str | None = None,
    id: str | None = None, renew: dict[str, int] | None = None, encrypt_with: tuple[str, EncryptionKey] | None = None,
) -> str:
    """A JWT as of RFC 9246: for one URL, or for all that match a regular expression from first to last character.

    ``renew`` is ``{"seconds": 30, "depth": 2}``: the node renews it with each answer, by a cookie for so many segments of the path.
    ``encrypt_with`` is the id and key that encrypt ``ip`` for the node alone.
    """
    _check_key_id(key_id)
    if url is not None:
        _split(url)
        container = "hash:sha-256;" + _keys.to_base64url(hashlib.sha256(url.encode()).digest())
    else:
        container = f"regex:{pattern}"
    viewers = None if ip is None else str(network(ip, strict_text=True))
    if viewers is not None and encrypt_with is not None:
        _check_key_id(encrypt_with[0])
        viewers = seal(viewers, *encrypt_with)
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "exp": None if expires is None else _seconds(expires),
        "nbf": None if starts is None else _seconds(starts),
        "jti": id,
        "cdniv": 1,
        "cdniip": viewers,
        "cdniuc": container,
    }
    if renew is not None:
        claims |= {"cdniets": renew["seconds"], "cdnistt": 1, "cdnistd": renew.get("depth", 0)}
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"alg": _keys.ALGORITHMS[key.kind], "kid": key_id, "typ": "JWT"}
    parts = [json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode() for part in (header, claims)]
    message = ".".join(_keys.to_base64url(part) for part in parts)
    return f"{message}.{_keys.to_base64url(_keys.sign_bytes(key, message.encode()))}"


def with_token(url: str, scheme: str, token: str) -> str:
    """The URL with a token of the scheme ``uri-signing`` or ``hmac`` in its query."""
    return _append(url, f"{NAMES[scheme][0]}={token}")
