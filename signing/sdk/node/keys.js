// Keys by Web Crypto, which Node, browsers and edge runtimes have alike.

const RSA = { name: "RSASSA-PKCS1-v1_5" };
const PSS = { name: "RSA-PSS", saltLength: 32 };
const P256 = { name: "ECDSA", namedCurve: "P-256" };

const oid = (hex) => hex.match(/../g).map((byte) => parseInt(byte, 16));
const KINDS = [
  ["rsa", oid("06092a864886f70d010101")],
  ["p256", oid("06082a8648ce3d030107")],
  ["ed25519", oid("06032b6570")],
];
export const ALGORITHMS = { rsa: "PS256", p256: "ES256", ed25519: "EdDSA", hmac: "HS256" };

export const utf8 = (text) => new TextEncoder().encode(text);

export function toBase64(bytes) {
  let binary = "";
  for (const byte of new Uint8Array(bytes)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** `undefined` for what is no base64, or not the one spelling of its bytes. */
export function fromBase64(text) {
  try {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return toBase64(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}

export const toBase64Url = (bytes) => toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export function fromBase64Url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  return fromBase64(text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat((4 - (text.length % 4)) % 4));
}

function pem(text, labels) {
  const found = /-----BEGIN ([A-Z ]+)-----([^-]*)-----END \1-----/.exec(text);
  if (!found || !labels.includes(found[1])) throw new TypeError(`expected PEM with BEGIN ${labels.join(" or BEGIN ")}`);
  const der = fromBase64(found[2].replace(/\s/g, ""));
  if (!der) throw new TypeError("the lines between BEGIN and END are not base64");
  return { label: found[1], der };
}

function kindOf(der) {
  const head = Array.from(der.slice(0, 40)).join();
  const kind = KINDS.find(([, id]) => head.includes(id.join()));
  if (!kind) throw new TypeError("the key must be RSA, P-256 or Ed25519");
  return kind[0];
}

/** RFC 5958 around RFC 8017's RSAPrivateKey: the one form that Web Crypto reads. */
function wrapRsa(der) {
  const long = (tag, ...parts) => {
    const body = parts.flatMap((part) => Array.from(part));
    return [tag, 0x82, body.length >> 8, body.length & 255, ...body];
  };
  const algorithm = [0x30, 0x0d, ...KINDS[0][1], 0x05, 0x00];
  return Uint8Array.from(long(0x30, [0x02, 0x01, 0x00], algorithm, long(0x04, der)));
}

async function imported(format, der, kind, use) {
  const from = (algorithm) => crypto.subtle.importKey(format, der, algorithm, false, [use]);
  if (kind === "rsa") {
    const sha256 = await from({ ...RSA, hash: "SHA-256" });
    if (sha256.algorithm.modulusLength < 2048) throw new TypeError("an RSA key must have at least 2048 bits");
    const sha1 = use === "verify" ? await from({ ...RSA, hash: "SHA-1" }) : undefined;
    return { sha1, sha256, pss: await from({ ...PSS, hash: "SHA-256" }), size: sha256.algorithm.modulusLength / 8 };
  }
  return { key: await from(kind === "p256" ? P256 : { name: "Ed25519" }) };
}

/** An AES key, in base64url as `k` of a JWK has it. */
export async function encryptionKey(text) {
  const bytes = fromBase64Url(text.trim());
  if (bytes?.length !== 16 && bytes?.length !== 32) throw new TypeError("an encryption key is 16 or 32 bytes in base64url");
  const from = (name, uses) => crypto.subtle.importKey("raw", bytes, { name }, false, uses);
  const [encrypts, wraps] = await Promise.all([from("AES-GCM", ["encrypt", "decrypt"]), from("AES-KW", ["unwrapKey"])]);
  return { kind: "aes", size: bytes.length, encrypts, wraps };
}

export async function privateKey(text) {
  const { label, der } = pem(text, ["PRIVATE KEY", "RSA PRIVATE KEY"]);
  const kind = label === "RSA PRIVATE KEY" ? "rsa" : kindOf(der);
  const keys = await imported("pkcs8", label === "RSA PRIVATE KEY" ? wrapRsa(der) : der, kind, "sign");
  return { kind, signs: true, keys };
}

export async function publicKey(text) {
  const { der } = pem(text, ["PUBLIC KEY"]);
  const kind = kindOf(der);
  return { kind, signs: false, keys: await imported("spki", der, kind, "verify") };
}

export async function secret(text) {
  const bytes = utf8(text.trim());
  if (bytes.length < 32) throw new TypeError("a secret must have at least 32 bytes");
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
  return { kind: "hmac", signs: true, keys: { key } };
}

const ecdsa = (hash) => ({ name: "ECDSA", hash });

/** A CloudFront signature with SHA-256. */
export async function signPolicy(key, message) {
  if (!key.signs || !["rsa", "p256"].includes(key.kind)) throw new TypeError(`a ${key.kind} key does not sign for CloudFront`);
  if (key.kind === "rsa") return crypto.subtle.sign(RSA, key.keys.sha256, utf8(message));
  return toDer(new Uint8Array(await crypto.subtle.sign(ecdsa("SHA-256"), key.keys.key, utf8(message))));
}

/** Whether the form of a CloudFront signature fits its key. */
export const fits = (key, signature) =>
  key.kind === "rsa" ? signature.length === key.keys.size : signature.length >= 8 && signature.length <= 72;

export async function verifyPolicy(key, hash, message, signature) {
  if (key.kind === "rsa") {
    return crypto.subtle.verify(RSA, hash === "SHA-1" ? key.keys.sha1 : key.keys.sha256, signature, message);
  }
  const fixed = fromDer(signature);
  return fixed !== undefined && crypto.subtle.verify(ecdsa(hash), key.keys.key, fixed, message);
}

/** The algorithm and the handle for a key's JWTs, and for its MACs. */
function handle(key) {
  if (key.kind === "rsa") return [PSS, key.keys.pss];
  if (key.kind === "p256") return [ecdsa("SHA-256"), key.keys.key];
  return [key.kind === "hmac" ? "HMAC" : "Ed25519", key.keys.key];
}

export const signBytes = (key, message) => crypto.subtle.sign(...handle(key), utf8(message));

/** Web Crypto compares MACs in constant time. */
export const verifyBytes = (key, message, signature) => crypto.subtle.verify(...handle(key), signature, utf8(message));

/** Two numbers of 32 bytes as a sequence of integers (RFC 3279 section 2.2.3). */
function toDer(fixed) {
  const integer = (bytes) => {
    const start = bytes.findIndex((byte) => byte !== 0);
    const short = Array.from(bytes.slice(start < 0 ? 31 : start));
    const body = short[0] > 127 ? [0, ...short] : short;
    return [0x02, body.length, ...body];
  };
  const body = [...integer(fixed.slice(0, 32)), ...integer(fixed.slice(32))];
  return Uint8Array.from([0x30, body.length, ...body]);
}

function fromDer(der) {
  const fixed = new Uint8Array(64);
  let at = 2;
  for (const end of [32, 64]) {
    const length = der[at + 1];
    let body = der.slice(at + 2, at + 2 + length);
    if (der[at] !== 0x02 || body.length !== length || length === 0) return undefined;
    if (body[0] === 0 && length > 1) body = body.slice(1);
    if (body.length > 32) return undefined;
    fixed.set(body, end - body.length);
    at += 2 + length;
  }
  return der[0] === 0x30 && der[1] === der.length - 2 && at === der.length ? fixed : undefined;
}
