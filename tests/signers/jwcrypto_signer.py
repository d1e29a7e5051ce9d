"""What jwcrypto makes of the orders on standard input: tokens as of RFC 9246 whose address only the node can read, as JSON."""

import json
import sys

from jwcrypto import jwe, jwk, jws

given = json.load(sys.stdin)
ALGORITHMS = ["dir", "A128KW", "A256KW", "A128GCM", "A256GCM"]


def encrypted(text, order):
    header = {"alg": order["alg"], "enc": order["enc"], "kid": order["kid"]}
    token = jwe.JWE(text.encode(), json.dumps(header), algs=ALGORITHMS)
    token.add_recipient(jwk.JWK(kty="oct", k=given["encryption"][order["kid"]]))
    return token.serialize(compact=True)


def make(order):
    claims = {"cdniuc": order["cdniuc"], "exp": order["exp"], "cdniip": encrypted(order["ip"], order), "sub": encrypted("user", order)}
    token = jws.JWS(json.dumps(claims).encode())
    key = jwk.JWK.from_pem(given["key"].encode())
    token.add_signature(key, alg="ES256", protected=json.dumps({"alg": "ES256", "kid": given["kid"]}))
    return token.serialize(compact=True)


print(json.dumps([make(order) for order in given["orders"]]))
