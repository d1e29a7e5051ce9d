// Addresses that only the node may read: JWE in the compact serialization (RFC 7516 section 7.1, RFC 9246 section 2.1.10).

import { fromBase64Url, toBase64Url, utf8 } from "./keys.js";

const MOST_CHARACTERS = 1024;
const WRAPS = { dir: undefined, A128KW: 16, A256KW: 32 };
const CONTENTS = { A128GCM: 16, A256GCM: 32 };

const malformed = { failure: "token-malformed" };
const failed = { failure: "decryption-failed" };

/** What is encrypted, as `text`, or why it cannot be read, as `failure`. */
export async function open(sealed, keys) {
  const parts = sealed.split(".");
  const [header, wrapped, nonce, ciphertext, tag] = parts.map(fromBase64Url);
  if (sealed.length > MOST_CHARACTERS || parts.length !== 5 || !wrapped || nonce?.length !== 12 || !ciphertext || tag?.length !== 16) return malformed;
  const { alg, enc, kid } = protectedHeader(header) ?? {};
  if (!Object.hasOwn(WRAPS, alg) || !Object.hasOwn(CONTENTS, enc)) return malformed;
  const ids = Object.keys(keys);
  const id = kid ?? (ids.length === 1 ? ids[0] : undefined);
  if (id === undefined || !Object.hasOwn(keys, id)) return { failure: "key-unknown" };
  const key = keys[id];
  if (alg === "dir" && wrapped.length !== 0) return malformed;
  if (key.size !== (WRAPS[alg] ?? CONTENTS[enc])) return failed;
  try {
    const unwrap = () => crypto.subtle.unwrapKey("raw", wrapped, key.wraps, "AES-KW", { name: "AES-GCM" }, false, ["decrypt"]);
    const content = alg === "dir" ? key.encrypts : await unwrap();
    if (content.algorithm.length !== CONTENTS[enc] * 8) return failed;
    const algorithm = { name: "AES-GCM", iv: nonce, additionalData: utf8(parts[0]) };
    const bytes = await crypto.subtle.decrypt(algorithm, content, Uint8Array.of(...ciphertext, ...tag));
    return { text: new TextDecoder().decode(bytes) };
  } catch {
    return failed;
  }
}

/** With the key itself (`dir`, RFC 7518 section 4.5). */
export async function seal(text, { keyId, key }) {
  if (key.kind !== "aes") throw new TypeError("addresses are encrypted with a key of encryptionKey()");
  const part = toBase64Url(utf8(JSON.stringify({ alg: "dir", enc: key.size === 16 ? "A128GCM" : "A256GCM", kid: keyId })));
  const nonce = crypto.getRandomValues(new Uint8Array(12));
  const algorithm = { name: "AES-GCM", iv: nonce, additionalData: utf8(part) };
  const bytes = new Uint8Array(await crypto.subtle.encrypt(algorithm, key.encrypts, utf8(text)));
  return [part, "", ...[nonce, bytes.slice(0, -16), bytes.slice(-16)].map(toBase64Url)].join(".");
}

/** What it says, if nothing in it must be understood that is not. */
function protectedHeader(bytes) {
  try {
    const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const isObject = typeof header === "object" && header !== null && !Array.isArray(header);
    if (!isObject || "crit" in header || "zip" in header) return undefined;
    return [header.alg, header.enc, header.kid ?? ""].every((value) => typeof value === "string") && header.kid !== null ? header : undefined;
  } catch {
    return undefined;
  }
}
