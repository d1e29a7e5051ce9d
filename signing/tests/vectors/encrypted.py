"""Writes encrypted.json anew with jwcrypto (PyPI), so that nothing in it was made by our own code: addresses as JWE, as a claim
`cdniip` has them, and what a viewer at 203.0.113.9 is told with each. The keys are those of keys.json."""

import json
import pathlib

from jwcrypto import jwe, jwk

FOLDER = pathlib.Path(__file__).parent
NARROW, WIDE = "f-WbjxBC3dPuI3d24kP2hfvos7Qz688UTi6aB0hN998", "aes256"
KEYS = json.loads((FOLDER / "keys.json").read_text())
ALGORITHMS = ["dir", "A128KW", "A256KW", "A128GCMKW", "A128GCM", "A256GCM", "A128CBC-HS256"]


def encrypted(key, alg, enc, text, **header):
    header = {"alg": alg, "enc": enc, "kid": key} | header
    header = {name: value for name, value in header.items() if value is not None}
    token = jwe.JWE(text.encode(), json.dumps(header), algs=ALGORITHMS)
    token.add_recipient(jwk.JWK(kty="oct", k=KEYS[key]["encryption"]))
    return token.serialize(compact=True)


ADDRESS = "203.0.113.9"
CASES = [
    ("by 128 bits", "granted", encrypted(NARROW, "dir", "A128GCM", "203.0.113.0/24")),
    ("by 256 bits", "granted", encrypted(WIDE, "dir", "A256GCM", ADDRESS)),
    ("wrapped by 128 bits", "granted", encrypted(NARROW, "A128KW", "A128GCM", ADDRESS + "/32")),
    ("wrapped by 256 bits", "granted", encrypted(WIDE, "A256KW", "A256GCM", "203.0.113.0/24")),
    ("a wide key wrapped by a narrow one", "granted", encrypted(NARROW, "A128KW", "A256GCM", "0.0.0.0/0")),
    ("with more in the header", "granted", encrypted(WIDE, "dir", "A256GCM", ADDRESS, typ="JWE", cty="text")),
    ("for others", "address-mismatch", encrypted(WIDE, "dir", "A256GCM", "192.0.2.1")),
    ("for IPv6", "address-mismatch", encrypted(WIDE, "dir", "A256GCM", "2001:db8::/32")),
    ("for no address", "token-malformed", encrypted(WIDE, "dir", "A256GCM", "here")),
    ("for nothing", "token-malformed", encrypted(WIDE, "dir", "A256GCM", "")),
    ("by another cipher", "token-malformed", encrypted(WIDE, "dir", "A128CBC-HS256", ADDRESS)),
    ("wrapped otherwise", "token-malformed", encrypted(NARROW, "A128GCMKW", "A128GCM", ADDRESS)),
    ("compressed", "token-malformed", encrypted(WIDE, "dir", "A256GCM", ADDRESS, zip="DEF")),
    ("without a name, by one of two keys", "key-unknown", encrypted(WIDE, "dir", "A256GCM", ADDRESS, kid=None)),
    ("by a stranger's key", "key-unknown", encrypted(WIDE, "dir", "A256GCM", ADDRESS, kid="stranger")),
    ("by the name of a key that signs", "key-unknown", encrypted(WIDE, "dir", "A256GCM", ADDRESS, kid="hmac")),
    ("by another key's name", "decryption-failed", encrypted(WIDE, "dir", "A256GCM", ADDRESS, kid=NARROW)),
    ("wrapped by another key's name", "decryption-failed", encrypted(NARROW, "A128KW", "A128GCM", ADDRESS, kid=WIDE)),
]

cases = [{"name": name, "expected": expected, "cdniip": text} for name, expected, text in CASES]
(FOLDER / "encrypted.json").write_text(json.dumps(cases, indent=2) + "\n")
