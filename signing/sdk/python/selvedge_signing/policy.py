"""CloudFront's policies: what they say, and which URLs their resource is about.

The rules are those of the node, which docs/signed-urls.md tells; one file of vectors holds both to them.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Any

_TO = str.maketrans("+=/", "-_~")
_FROM = str.maketrans("-_~", "+=/")


@dataclass(frozen=True)
class Policy:
    """What a custom policy says; times in seconds since 1970."""

    expires: int
    resource: str | None = None
    starts: int | None = None
    ip: str | None = None

    def to_json(self) -> str:
        condition: dict[str, Any] = {"DateLessThan": {"AWS:EpochTime": self.expires}}
        if self.starts is not None:
            condition["DateGreaterThan"] = {"AWS:EpochTime": self.starts}
        if self.ip is not None:
            condition["IpAddress"] = {"AWS:SourceIp": str(network(self.ip, strict_text=True))}
        return json.dumps({"Statement": [{"Resource": self.resource, "Condition": condition}]}, separators=(",", ":"))


def canned(url: str, expires: int) -> str:
    return '{"Statement":[{"Resource":"%s","Condition":{"DateLessThan":{"AWS:EpochTime":%d}}}]}' % (url, expires)


def encode(data: bytes) -> str:
    """CloudFront's base64: ``-``, ``_`` and ``~`` where the standard has ``+``, ``=`` and ``/``."""
    return base64.b64encode(data).decode().translate(_TO)


def decode(text: str) -> bytes | None:
    """``None`` for what :func:`encode` does not write."""
    if not re.fullmatch(r"[A-Za-z0-9_~-]*", text, re.ASCII):
        return None
    try:
        data = base64.b64decode(text.translate(_FROM), validate=True)
    except ValueError:
        return None
    return data if encode(data) == text else None


class _Twice(ValueError):
    pass


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Twice("a name stands twice")
    return members


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def loads(text: str) -> Any:
    """JSON as the standard has it: each name once in its object, and no ``NaN``."""
    return json.loads(text, object_pairs_hook=_members, parse_constant=_no_number)


def parse(data: bytes) -> Policy | None:
    """``None`` where it says anything else than CloudFront's policies do."""
    try:
        (statement,) = _only(loads(data.decode()), {"Statement"})["Statement"]
        statement = _only(statement, {"Condition"}, {"Resource"})
        condition = _only(statement["Condition"], {"DateLessThan"}, {"DateGreaterThan", "IpAddress"})
        moments = [_moment(condition[name]) for name in ("DateLessThan", "DateGreaterThan") if name in condition]
        ip = _only(condition["IpAddress"], {"AWS:SourceIp"})["AWS:SourceIp"] if "IpAddress" in condition else None
        if "IpAddress" in condition:
            network(ip)
        resource = statement.get("Resource")
        if "Resource" in statement:
            _sections(resource)
    except (ValueError, TypeError, AttributeError, UnicodeDecodeError, RecursionError):
        return None
    return Policy(moments[0], resource, moments[1] if len(moments) > 1 else None, ip)


def _only(members: Any, required: set[str], optional: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    if not isinstance(members, dict) or not required <= members.keys() <= required | optional:
        raise ValueError("not of CloudFront's form")
    return members


def _moment(value: Any) -> int:
    seconds = _only(value, {"AWS:EpochTime"})["AWS:EpochTime"]
    if type(seconds) is not int or not 0 <= seconds <= 999_999_999_999:
        raise ValueError("no time")
    return seconds


def _sections(resource: str) -> tuple[str, str, str]:
    scheme, delimiter, rest = resource.partition("://")
    if not delimiter or "/" in scheme:
        if not resource.startswith("*"):
            raise ValueError("no resource")
        scheme, rest = "*", resource
    authority, slash, path = rest.partition("/")
    return scheme.lower(), authority.lower(), slash + path


def _matches(pattern: str, text: str) -> bool:
    """``*``: any characters, ``?``: exactly one."""
    at = read = 0
    star: tuple[int, int] | None = None
    while read < len(text):
        if at < len(pattern) and pattern[at] == "*":
            at += 1
            star = (at, read)
        elif at < len(pattern) and pattern[at] in ("?", text[read]):
            at += 1
            read += 1
        elif star:
            star = (star[0], star[1] + 1)
            at, read = star
        else:
            return False
    return pattern[at:].strip("*") == ""


def covers(resource: str | None, scheme: str, authority: str, path_and_query: str) -> bool:
    if resource is None or resource == "*":
        return True
    wanted_scheme, wanted_authority, pattern = _sections(resource)
    if not _matches(wanted_scheme, scheme) or not _matches(wanted_authority, authority):
        return False
    if not pattern:
        return wanted_authority.endswith("*")
    path, delimiter, query = path_and_query.partition("?")
    if not delimiter:
        return _matches(pattern, path_and_query)
    if pattern.endswith("*") and _matches(pattern, path):
        return True
    ends = [at for at, letter in enumerate(pattern) if letter == "?"]
    return any(_matches(pattern[at + 1 :], query) and _matches(pattern[:at], path) for at in ends)


def network(text: str, strict_text: bool = False) -> Any:
    """An address or a network; what is written keeps its address as it is."""
    if not re.fullmatch(r"[0-9a-f:.]+(/(0|[1-9][0-9]{0,2}))?", text, re.I | re.ASCII):
        raise ValueError("neither an address nor a network: " + text)
    interface = ipaddress.ip_interface(text)
    return interface if strict_text else interface.network


def canonical(address: str | None) -> str | None:
    """An address in its one spelling (RFC 5952); an IPv4 one also where it stands in an IPv6 one. ``None`` for what is none."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def contains(text: str, viewer: str | None) -> bool:
    """``0.0.0.0/0`` is how signers write "anywhere". The viewer's address is in its one spelling."""
    where = network(text)
    if where.version == 4 and where.prefixlen == 0:
        return True
    if viewer is None:
        return False
    address = ipaddress.ip_address(viewer)
    return address.version == where.version and address in where
