"""Checks what a viewer sent, as the node does."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from . import keys as _keys
from .encrypted import EncryptionKey, Unreadable, is_sealed, unseal
from .keys import ALGORITHMS, Key
from .policy import Policy, canned, canonical, contains, covers, decode, loads, network, parse

PARAMETERS = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"]
PACKAGE = "URISigningPackage"
TOKEN = "Selvedge-Token"
# Of one name in a request; what comes after them is not looked at.
_MOST_COOKIES = 8
NAMES = {"cloudfront": PARAMETERS, "uri-signing": [PACKAGE], "hmac": [TOKEN]}


@dataclass(frozen=True)
class Verdict:
    """Whether the viewer may; ``reason`` says why not, as in the node's log."""

    granted: bool
    reason: str | None = None
    scheme: str | None = None
    key_id: str | None = None
    expires: float | None = None


class _Refusal(Exception):
    pass


@dataclass(frozen=True)
class _Request:
    scheme: str
    authority: str
    target: str
    resource: str
    cookies: Sequence[str]
    address: str | None
    keys: Mapping[str, Key]
    decryption_keys: Mapping[str, EncryptionKey]
    issuers: Sequence[str]
    audience: Sequence[str]
    now: float

    def find(self, place: str, names: list[str]) -> dict[str, str]:
        """The values of these names; each may occur once."""
        if place == "url":
            return _find(self.target.partition("?")[2].split("&"), names)
        parts = (part.strip(" \t") for field in self.cookies for part in field.split(";"))
        return _find(parts, names)

    def key(self, key_id: str, kinds: Iterable[str]) -> Key:
        key = self.keys.get(key_id)
        if key is None:
            raise _Refusal("key-unknown")
        if key.kind not in kinds:
            raise _Refusal("key-unsuitable")
        return key

    def check_time(self, expires: float | None, starts: float | None = None) -> None:
        if expires is not None and self.now >= expires:
            raise _Refusal("signature-expired")
        if starts is not None and self.now <= starts:
            raise _Refusal("signature-early")


def _find(parts: Iterable[str], names: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        if name not in names:
            continue
        if name in found:
            raise _Refusal("parameter-duplicate")
        found[name] = value
    return found


def _strip(target: str, accept: Sequence[str]) -> str:
    names = [name for scheme in accept for name in NAMES[scheme]]
    path, delimiter, query = target.partition("?")
    if "uri-signing" in accept:
        segments = (segment.split(";") for segment in path.split("/"))
        path = "/".join(
            ";".join(part for at, part in enumerate(parts) if at == 0 or not part.startswith(PACKAGE + "="))
            for parts in segments
        )
    kept = [part for part in query.split("&") if part.partition("=")[0] not in names]
    return f"{path}?{'&'.join(kept)}" if delimiter and kept else path


def has_dot_segments(target: str) -> bool:
    """Segments ``.`` and ``..`` of the path, however they are written: they lead out of what the path begins with."""
    form = r"(^|[/\\]|%2f|%5c)(\.|%2e){1,2}($|[/\\;]|%2f|%5c|%3b)"
    return re.search(form, target.partition("?")[0], re.I | re.ASCII) is not None


def covered(
    key_id: str, expires: int, extent: int, ip: str | None, scheme: str, authority: str, part: str
) -> bytes:
    """What a MAC is over."""
    return f"selvedge-hmac-1\n{key_id}\n{expires}\n{extent}\n{ip or '-'}\n{scheme}://{authority}{part}".encode()


def reach(path_and_query: str, extent: int) -> str | None:
    if extent == 0:
        return path_and_query
    part = path_and_query.partition("?")[0][:extent]
    return part if len(part) == extent and part.endswith("/") else None


def _cloudfront(request: _Request, place: str) -> Verdict | None:
    prefix = "" if place == "url" else "CloudFront-"
    found = request.find(place, [prefix + name for name in PARAMETERS])
    if not found:
        return None

    def value(name: str, most: int, form: str = r".+") -> str:
        text = found.get(prefix + name)
        if text is None:
            raise _Refusal("parameter-missing")
        if len(text) > most or not re.fullmatch(form, text, re.ASCII | re.DOTALL):
            raise _Refusal("parameter-malformed")
        return text

    is_custom = prefix + "Policy" in found
    if is_custom and prefix + "Expires" in found:
        raise _Refusal("policy-ambiguous")
    terms = value("Policy", 4096) if is_custom else value("Expires", 12, r"[1-9][0-9]*")
    signature, key_id = value("Signature", 1368), value("Key-Pair-Id", 128)
    algorithm = found.get(prefix + "Hash-Algorithm", "SHA1")
    if algorithm not in ("SHA1", "SHA256"):
        raise _Refusal("parameter-malformed")
    key = request.key(key_id, ("rsa", "p256", "ed25519"))
    if is_custom:
        message = decode(terms)
        if message is None:
            raise _Refusal("parameter-malformed")
        policy = parse(message)
        if policy is None:
            raise _Refusal("policy-malformed")
    else:
        policy = Policy(int(terms))
    request.check_time(policy.expires, policy.starts)
    if not is_custom:
        url = f"{request.scheme}://{request.authority}{request.resource}"
        if re.search(r'[^\x21-\x7e]|["\\]', url):
            raise _Refusal("url-malformed")
        message = canned(url, policy.expires).encode()
    if policy.ip is not None and not contains(policy.ip, request.address):
        raise _Refusal("address-mismatch")
    if key.kind == "ed25519":
        raise _Refusal("key-unsuitable")
    data = decode(signature)
    if data is None or not _keys.fits(key, data):
        raise _Refusal("parameter-malformed")
    if not _keys.verify_policy(key, algorithm, message, data):
        raise _Refusal("signature-mismatch")
    if is_custom and not covers(policy.resource, request.scheme, request.authority, request.resource):
        raise _Refusal("resource-mismatch")
    return Verdict(True, None, "cloudfront", key_id, policy.expires)


def _hmac(request: _Request, place: str) -> Verdict | None:
    token = request.find(place, [TOKEN]).get(TOKEN)
    if token is None:
        return None
    form = r"1\.([1-9]\d{0,11})\.(0|[1-9]\d{0,9})\.([a-])\.([A-Za-z0-9_-]{43})\.(.+)"
    parts = re.fullmatch(form, token, re.ASCII) if len(token) <= 512 else None
    mac = parts and _keys.from_base64url(parts[4])
    if not parts or not mac:
        raise _Refusal("parameter-malformed")
    expires, extent, is_bound, key_id = int(parts[1]), int(parts[2]), parts[3] == "a", parts[5]
    request.check_time(expires)
    key = request.key(key_id, ("hmac",))
    if is_bound and request.address is None:
        raise _Refusal("address-mismatch")
    part = reach(request.resource, extent)
    if part is None:
        raise _Refusal("resource-mismatch")
    message = covered(key_id, expires, extent, request.address if is_bound else None, request.scheme, request.authority, part)
    if not _keys.verify_bytes(key, message, mac):
        raise _Refusal("signature-mismatch")
    return Verdict(True, None, "hmac", key_id, expires)


def _jwt(request: _Request, place: str) -> Verdict | None:
    """The token in the URL, or the first good one among the cookies: browsers send every one of the name whose path fits."""
    if place == "url":
        found = [*request.find(place, [PACKAGE]).values()]
        segments = request.target.partition("?")[0].split("/")
        found += _find((part for segment in segments for part in segment.split(";")[1:]), [PACKAGE]).values()
        if len(found) > 1:
            raise _Refusal("parameter-duplicate")
    else:
        parts = (part.strip(" \t").partition("=") for field in request.cookies for part in field.split(";"))
        found = [value for name, _, value in parts if name == PACKAGE][:_MOST_COOKIES]
    refusal = None
    for token in found:
        try:
            return _token(request, token)
        except _Refusal as error:
            refusal = refusal or error
    if refusal:
        raise refusal
    return None


def _token(request: _Request, token: str) -> Verdict:
    try:
        head, body, tail = token.split(".")
        header, claims = (
            loads((_keys.from_base64url(part) or b"").decode()) for part in (head, body)
        )
        if not isinstance(header, dict) or not isinstance(claims, dict) or len(token) > 8192:
            raise ValueError("no objects")
    except (ValueError, RecursionError):
        raise _Refusal("token-malformed") from None
    if header.keys() & {"crit", "zip", "enc"} or not isinstance(header.get("kid", ""), (str, type(None))):
        raise _Refusal("token-malformed")
    fitting = [key_id for key_id, key in request.keys.items() if ALGORITHMS[key.kind] == header.get("alg")]
    key_id = header.get("kid") or (fitting[0] if len(fitting) == 1 else "")
    key = request.key(key_id, ALGORITHMS)
    # The key says the algorithm: a header that could choose it would choose its check.
    if ALGORITHMS[key.kind] != header.get("alg"):
        raise _Refusal("key-unsuitable")
    _check_claims(request, claims)
    signature = _keys.from_base64url(tail)
    if signature is None or not _keys.verify_bytes(key, f"{head}.{body}".encode(), signature):
        raise _Refusal("signature-mismatch")
    if "cdniip" in claims and is_sealed(claims["cdniip"]):
        _check_sealed(request, claims["cdniip"])
    url = f"{request.scheme}://{request.authority}{request.resource}"
    if not _opens(claims["cdniuc"], url, _normal(request)):
        raise _Refusal("resource-mismatch")
    return Verdict(True, None, "uri-signing", key_id, claims.get("exp"))


def _check_sealed(request: _Request, sealed: str) -> None:
    """Decrypted is only what a good signature is over."""
    try:
        text = unseal(sealed, request.decryption_keys)
    except Unreadable as failure:
        raise _Refusal(str(failure)) from None
    if not _is_network(text):
        raise _Refusal("token-malformed")
    if not contains(_bare(text), request.address):
        raise _Refusal("address-mismatch")


def _bare(text: str) -> str:
    """RFC 9246's own example puts a network of IPv6 into brackets (appendix A.2)."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and value <= 999_999_999_999


def _is_audience(value: Any) -> bool:
    return _is_text(value) or isinstance(value, list) and all(_is_text(name) for name in value)


def _is_network(value: Any) -> bool:
    try:
        return _is_text(value) and network(_bare(value)) is not None
    except ValueError:
        return False


# What the claims of RFC 9246 section 2.1 must be; whatever else stands in a token is passed over.
_CLAIMS: dict[str, Callable[[Any], bool]] = {
    "iss": _is_text,
    "sub": _is_text,
    "aud": _is_audience,
    "exp": _is_time,
    "nbf": _is_time,
    "iat": _is_time,
    "jti": _is_text,
    "cdniv": lambda value: type(value) is int and value == 1,
    # Extensions that must be understood, of which none is known.
    "cdnicrit": lambda value: False,
    "cdniip": lambda value: _is_network(value) or _is_text(value) and is_sealed(value),
    "cdniuc": _is_text,
    "cdniets": _is_whole,
    "cdnistt": _is_whole,
    "cdnistd": _is_whole,
}


def _check_claims(request: _Request, claims: dict[str, Any]) -> None:
    if "cdniuc" not in claims or not all(fits(claims[name]) for name, fits in _CLAIMS.items() if name in claims):
        raise _Refusal("token-malformed")
    if "exp" in claims and request.now >= claims["exp"]:
        raise _Refusal("signature-expired")
    if "nbf" in claims and request.now < claims["nbf"]:
        raise _Refusal("signature-early")
    if "iss" in claims and claims["iss"] not in request.issuers:
        raise _Refusal("claim-refused")
    audience = claims.get("aud", [])
    audience = [audience] if isinstance(audience, str) else audience
    if "aud" in claims and not set(audience) & set(request.audience):
        raise _Refusal("claim-refused")
    address = claims.get("cdniip")
    if address is not None and not is_sealed(address) and not contains(_bare(address), request.address):
        raise _Refusal("address-mismatch")


def _normal(request: _Request) -> str:
    """RFC 9246 section 3.1: no default port, escapes in capitals, and none where none is needed."""
    host = request.authority.removesuffix({"http": ":80", "https": ":443"}[request.scheme])

    def plain(escape: re.Match[str]) -> str:
        letter = chr(int(escape[1], 16))
        return letter if re.fullmatch(r"[A-Za-z0-9._~-]", letter, re.ASCII) else escape[0].upper()

    return f"{request.scheme}://{host}" + re.sub(r"%([0-9A-Fa-f]{2})", plain, request.resource)


def _opens(container: str, url: str, normal: str) -> bool:
    if container.startswith("hash:sha-256;"):
        return container[13:] in [_keys.to_base64url(hashlib.sha256(text.encode()).digest()) for text in (url, normal)]
    if not container.startswith("regex:"):
        raise _Refusal("token-malformed")
    try:
        return re.fullmatch(container[6:], normal) is not None
    except re.error:
        raise _Refusal("token-malformed") from None


_JUDGES = {"cloudfront": _cloudfront, "uri-signing": _jwt, "hmac": _hmac}


def verify(
    url: str, *, keys: Mapping[str, Key], cookies: str | Sequence[str] = (), address: str | None = None,
    accept: Sequence[str] = ("cloudfront",), issuers: Sequence[str] = (), audience: Sequence[str] = (),
    now: float | None = None, decryption_keys: Mapping[str, EncryptionKey] = MappingProxyType({}),
) -> Verdict:
    """Checks what a viewer sent, nothing decoded or encoded again.

    A JWT's id (``jti``) is not remembered, and its pattern is Python's: check tokens of signers whom you trust.
    """
    parts = re.fullmatch(r"(https?)://([^/]*)(/.*)", url, re.DOTALL)
    if not parts:
        raise ValueError(f"a whole URL is needed: {url}")
    if has_dot_segments(parts[3]):
        return Verdict(False, "url-malformed")
    fields = [cookies] if isinstance(cookies, str) else list(cookies)
    request = _Request(
        parts[1], parts[2].lower(), parts[3], _strip(parts[3], accept), fields, canonical(address), keys, decryption_keys, issuers, audience,
        time.time() if now is None else now,
    )
    outlived = False
    for place in ("url", "cookies"):
        for scheme in accept:
            if outlived and scheme != "uri-signing":
                continue
            try:
                verdict = _JUDGES[scheme](request, place)
            except _Refusal as refusal:
                if (str(refusal), scheme, place) != ("signature-expired", "uri-signing", "url"):
                    return Verdict(False, str(refusal))
                # A player goes on asking with the token that it began with, while its cookie is renewed.
                outlived = True
                continue
            if verdict is not None:
                return verdict
    return Verdict(False, "signature-expired" if outlived else "signature-missing")
