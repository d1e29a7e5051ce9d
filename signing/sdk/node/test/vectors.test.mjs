// The vectors that hold all SDKs and the node to the same bytes and the same verdicts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as signing from "../index.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../../../tests/vectors/${name}.json`, import.meta.url), "utf8"));

const signers = {};
const verifiers = {};
const decryptionKeys = {};
for (const [id, key] of Object.entries(read("keys"))) {
  if (key.encryption) {
    decryptionKeys[id] = await signing.encryptionKey(key.encryption);
    continue;
  }
  signers[id] = key.secret ? await signing.secret(key.secret) : await signing.privateKey(key.private);
  verifiers[id] = key.secret ? signers[id] : await signing.publicKey(key.public);
}

const make = { url: signing.signUrl, cookies: signing.signCookies, hmac: signing.signToken, jwt: signing.signJwt };

for (const { name, make: what, key, expected, ...options } of read("sign")) {
  test(`signs: ${name}`, async () => {
    const made = await make[what]({ ...options, keyId: key, key: signers[key] });
    assert.deepEqual(made, expected);
  });
}

for (const { name, expected, ...request } of read("verify")) {
  test(`judges: ${name}`, async () => {
    const verdict = await signing.verify({ ...request, keys: verifiers, decryptionKeys });
    assert.equal(verdict.granted ? "granted" : verdict.reason, expected);
  });
}

test("what is signed with a random number is granted", async () => {
  for (const key of ["rsa", "p256", "ed25519", "hmac"]) {
    const signer = { keyId: key, key: signers[key], expires: 2000 };
    const group = { keys: verifiers, now: 1999, accept: ["cloudfront", "uri-signing"] };
    const url = "https://cdn.test/a+b,c@d;e=f?g";
    const token = await signing.signJwt({ ...signer, pattern: "https://cdn\\.test/.*" });
    assert.equal((await signing.verify({ ...group, url: signing.withToken(url, "uri-signing", token) })).granted, true);
    if (key !== "rsa" && key !== "p256") continue;
    assert.equal((await signing.verify({ ...group, url: await signing.signUrl({ ...signer, url }) })).granted, true);
    const cookies = await signing.signCookies({ ...signer, resource: "https://cdn.test/*" });
    const field = Object.entries(cookies).map((pair) => pair.join("=")).join("; ");
    assert.equal((await signing.verify({ ...group, url, cookies: field })).granted, true);
  }
});

test("what is encrypted is read by who has the key", async () => {
  const url = "https://cdn.test/a";
  for (const [keyId, key] of Object.entries(decryptionKeys)) {
    for (const [ip, inside, outside] of [["203.0.113.0/24", "203.0.113.9", "203.0.114.9"], ["2001:db8::/32", "2001:db8::9", "::1"]]) {
      const token = await signing.signJwt({ keyId: "hmac", key: signers.hmac, url, ip, encryptWith: { keyId, key } });
      const told = async (address, keys) => {
        const asked = { url: signing.withToken(url, "uri-signing", token), address, keys: verifiers, accept: ["uri-signing"] };
        return (await signing.verify({ ...asked, decryptionKeys: keys })).reason ?? "granted";
      };
      assert.equal(await told(inside, decryptionKeys), "granted");
      assert.equal(await told(outside, decryptionKeys), "address-mismatch");
      assert.equal(await told(inside, {}), "key-unknown");
      const claims = Buffer.from(token.split(".")[1], "base64url").toString();
      assert.ok(!claims.includes(ip.split("/")[0]), claims);
    }
  }
  await assert.rejects(signing.encryptionKey("short"), TypeError);
});

test("what no viewer sends is not signed", async () => {
  const signer = { keyId: "rsa", key: signers.rsa, expires: 2000 };
  for (const url of ["/a", "https://cdn.test", "https://cdn.test/a b", "https://cdn.test/a#b", "https://cdn.test:443/a", "https://cdn.test/a?Expires=1", "https://cdn.test/a/../b", "https://cdn.test/a/%2E"]) {
    await assert.rejects(signing.signUrl({ ...signer, url }), TypeError, url);
  }
  await assert.rejects(signing.signUrl({ ...signer, url: "https://cdn.test/a", keyId: "a&b" }), TypeError);
  await assert.rejects(signing.signUrl({ ...signer, url: "https://cdn.test/a", expires: NaN }), RangeError);
});
