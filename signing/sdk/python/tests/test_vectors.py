"""The vectors that hold all SDKs and the node to the same bytes and the same verdicts."""

import json
import pathlib
import unittest

import selvedge_signing as signing

FOLDER = pathlib.Path(__file__).parents[3] / "tests" / "vectors"


def read(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


SIGNERS = {
    name: signing.secret(key["secret"]) if "secret" in key else signing.private_key(key["private"])
    for name, key in read("keys").items()
    if "encryption" not in key
}
VERIFIERS = {
    name: SIGNERS[name] if "secret" in key else signing.public_key(key["public"])
    for name, key in read("keys").items()
    if "encryption" not in key
}
DECRYPTION = {
    name: signing.encryption_key(key["encryption"]) for name, key in read("keys").items() if "encryption" in key
}
MAKE = {"url": signing.sign_url, "cookies": signing.sign_cookies, "hmac": signing.sign_token, "jwt": signing.sign_jwt}


class Vectors(unittest.TestCase):
    def test_what_is_signed_is_the_same_in_every_language(self):
        vectors = read("sign")
        self.assertGreaterEqual(len(vectors), 10)
        for vector in vectors:
            with self.subTest(vector["name"]):
                expected, make = vector.pop("expected"), MAKE[vector.pop("make")]
                name, key = vector.pop("name"), vector.pop("key")
                self.assertEqual(make(**vector, key_id=key, key=SIGNERS[key]), expected, name)

    def test_verdicts_are_the_same_in_every_language(self):
        vectors = read("verify")
        self.assertGreaterEqual(len(vectors), 60)
        for vector in vectors:
            with self.subTest(vector["name"]):
                expected, name = vector.pop("expected"), vector.pop("name")
                verdict = signing.verify(**vector, keys=VERIFIERS, decryption_keys=DECRYPTION)
                self.assertEqual("granted" if verdict.granted else verdict.reason, expected, name)

    def test_what_is_signed_with_a_random_number_is_granted(self):
        url = "https://cdn.test/a+b,c@d;e=f?g"
        for name in ("rsa", "p256", "ed25519", "hmac"):
            signer = {"key_id": name, "key": SIGNERS[name], "expires": 2000}
            group = {"keys": VERIFIERS, "now": 1999, "accept": ["cloudfront", "uri-signing"]}
            token = signing.sign_jwt(pattern=r"https://cdn\.test/.*", **signer)
            self.assertTrue(signing.verify(signing.with_token(url, "uri-signing", token), **group).granted)
            if name not in ("rsa", "p256"):
                continue
            self.assertTrue(signing.verify(signing.sign_url(url, **signer), **group).granted)
            cookies = signing.sign_cookies(resource="https://cdn.test/*", **signer)
            field = "; ".join(f"{name}={value}" for name, value in cookies.items())
            self.assertTrue(signing.verify(url, cookies=field, **group).granted)

    def test_what_is_encrypted_is_read_by_who_has_the_key(self):
        url = "https://cdn.test/a"
        for name, key in DECRYPTION.items():
            for ip, inside, outside in (
                ("203.0.113.0/24", "203.0.113.9", "203.0.114.9"), ("2001:db8::/32", "2001:db8::9", "::1"),
            ):
                token = signing.sign_jwt(url, key_id="hmac", key=SIGNERS["hmac"], ip=ip, encrypt_with=(name, key))
                asked = {"url": signing.with_token(url, "uri-signing", token), "keys": VERIFIERS, "accept": ["uri-signing"]}
                for address, keys, reason in (
                    (inside, DECRYPTION, None), (outside, DECRYPTION, "address-mismatch"), (inside, {}, "key-unknown"),
                ):
                    verdict = signing.verify(**asked, address=address, decryption_keys=keys)
                    self.assertEqual((verdict.granted, verdict.reason), (reason is None, reason))
        self.assertNotIn("\\x", repr(key))
        with self.assertRaises(ValueError):
            signing.encryption_key("short")

    def test_what_no_viewer_sends_is_not_signed(self):
        signer = {"key_id": "rsa", "key": SIGNERS["rsa"], "expires": 2000}
        for url in (
            "/a", "https://cdn.test", "https://cdn.test/a b", "https://cdn.test/a#b", "https://cdn.test:443/a",
            "https://cdn.test/a?Expires=1", "https://cdn.test/a/../b", "https://cdn.test/a/%2E",
        ):
            with self.subTest(url), self.assertRaises(ValueError):
                signing.sign_url(url, **signer)
        self.assertNotIn("BEGIN", repr(SIGNERS["rsa"]))


if __name__ == "__main__":
    unittest.main()
