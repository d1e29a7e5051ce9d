/** A key, ready to use. What it holds cannot be exported. */
export interface Key {
  readonly kind: "rsa" | "p256" | "ed25519" | "hmac";
  readonly signs: boolean;
}

/** A key that hides addresses in JWTs. What it holds cannot be exported. */
export interface EncryptionKey {
  readonly kind: "aes";
  /** In bytes. */
  readonly size: 16 | 32;
}

/** A moment: a `Date`, or whole seconds since 1970. */
export type Time = Date | number;

export type Scheme = "cloudfront" | "uri-signing" | "hmac";

/** Reads PEM, `BEGIN PRIVATE KEY` (RSA, P-256, Ed25519) or `BEGIN RSA PRIVATE KEY`. */
export function privateKey(pem: string): Promise<Key>;
/** Reads PEM, `BEGIN PUBLIC KEY`. */
export function publicKey(pem: string): Promise<Key>;
/** A secret of at least 32 bytes: the text's bytes are the key. */
export function secret(text: string): Promise<Key>;

/** Reads an AES key of 16 or 32 bytes in base64url, as `k` of a JWK has it and `selvedge key new --kind aes` makes it. */
export function encryptionKey(text: string): Promise<EncryptionKey>;

interface Signer {
  /** The id of the key in the node's config. */
  keyId: string;
  key: Key;
}

interface Terms {
  /** The first moment at which it is no longer good. */
  expires: Time;
  /** Not good before. */
  starts?: Time;
  /** An address or network, such as `203.0.113.0/24`. */
  ip?: string;
  /** Which URLs it opens, with the wildcards `*` and `?`; without it, `url` and nothing else. */
  resource?: string;
}

/** Signs a URL as CloudFront's signers do: with a custom policy where `starts`, `ip` or `resource` is given, else a canned one. */
export function signUrl(options: Signer & Terms & { url: string }): Promise<string>;
/** The cookies that open `url`, or what `resource` is about: names and values, to be set as they are. */
export function signCookies(options: Signer & Terms & { url?: string }): Promise<Record<string, string>>;

/** A token of the scheme `hmac`: for one URL, or for all that begin with a prefix that ends with a slash. */
export function signToken(
  options: Signer & { expires: Time; /** One address. */ ip?: string } & ({ url: string; prefix?: undefined } | { prefix: string; url?: undefined }),
): Promise<string>;

/** A JWT as of RFC 9246: for one URL, or for all that match a regular expression from first to last character. */
export function signJwt(
  options: Signer & {
    expires?: Time;
    starts?: Time;
    ip?: string;
    /** Encrypts `ip` for the node alone. */
    encryptWith?: { keyId: string; key: EncryptionKey };
    issuer?: string;
    audience?: string;
    /** Each URL can be asked for once. */
    id?: string;
    /** Renewed with each answer, by a cookie for the first `depth` segments of the path. */
    renew?: { seconds: number; depth?: number };
  } & ({ url: string; pattern?: undefined } | { pattern: string; url?: undefined }),
): Promise<string>;

/** The URL with a token in its query. */
export function withToken(url: string, scheme: "uri-signing" | "hmac", token: string): string;

export type Verdict =
  | { granted: true; scheme: Scheme; keyId: string; expires?: number }
  | { granted: false; /** As in the node's log, such as `signature-expired`. */ reason: string };

/**
 * Checks what a viewer sent, as the node does. A JWT's id (`jti`) is not remembered, and its pattern is JavaScript's: check
 * tokens of signers whom you trust.
 */
export function verify(options: {
  /** As the viewer sent it, nothing decoded or encoded again. */
  url: string;
  /** `Cookie` fields. */
  cookies?: string | string[];
  /** The viewer's address. */
  address?: string;
  keys: Record<string, Key>;
  /** What reads encrypted addresses in JWTs. */
  decryptionKeys?: Record<string, EncryptionKey>;
  accept?: Scheme[];
  /** Whose JWTs are taken, where they say whose they are. */
  issuers?: string[];
  /** What you are called in JWTs that say whom they are for. */
  audience?: string[];
  now?: Time;
}): Promise<Verdict>;
