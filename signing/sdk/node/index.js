// Signed URLs, cookies and tokens: minted and checked over the exact bytes of a URL as viewers send them. Nothing is parsed,
// decoded or encoded again on the way, for that is where signatures break.

import * as keys from "./keys.js";
import { open, seal } from "./encrypted.js";
import { address as canonical, cannedPolicy, contains, covers, customPolicy, decode, encode, network, parsePolicy, range } from "./policy.js";

export { encryptionKey, privateKey, publicKey, secret } from "./keys.js";

const PARAMETERS = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];
const PACKAGE = "URISigningPackage";
const TOKEN = "Selvedge-Token";
/** Of one name in a request; what comes after them is not looked at. */
const MOST_COOKIES = 8;
const HASHES = new Map([["SHA1", "SHA-1"], ["SHA256", "SHA-256"]]);
const NAMES = { cloudfront: PARAMETERS, "uri-signing": [PACKAGE], hmac: [TOKEN] };

const seconds = (time) => {
  const value = time instanceof Date ? Math.floor(time.getTime() / 1000) : time;
  if (!Number.isSafeInteger(value) || value < 1 || value > 999_999_999_999) throw new RangeError("a time is a Date, or whole seconds since 1970");
  return value;
};

/** Segments `.` and `..` of the path, however they are written: they lead out of what the path begins with. */
const hasDotSegments = (target) => /(^|[/\\]|%2f|%5c)(\.|%2e){1,2}($|[/\\;]|%2f|%5c|%3b)/i.test(target.split("?")[0]);

function split(url) {
  const parts = /^(https?):\/\/([^/?#@]+)(\/[^#]*)$/.exec(url);
  const port = { http: ":80", https: ":443" }[parts?.[1]];
  if (!parts || /[^\x21-\x7e]|["\\]/.test(url) || parts[2].endsWith(port)) {
    throw new TypeError(`not a URL as viewers send it (http or https, a path, percent-encoded, no default port, no fragment): ${url}`);
  }
  const [, scheme, authority, pathAndQuery] = parts;
  if (hasDotSegments(pathAndQuery)) throw new TypeError(`viewers resolve the segments . and .. of a path; sign what they come to: ${url}`);
  if (authority !== authority.toLowerCase()) throw new TypeError("viewers send the host in lower case; write it so");
  return { scheme, authority, pathAndQuery };
}

function checkKeyId(keyId) {
  if (!/^[A-Za-z0-9._~-]{1,128}$/.test(keyId)) throw new TypeError("a key id has letters, digits and - _ . ~ only");
}

const append = (url, parameters) => `${url}${url.includes("?") ? "&" : "?"}${parameters}`;

async function cloudfront({ url, resource, expires, starts, ip, keyId, key }) {
  checkKeyId(keyId);
  if (url !== undefined) split(url);
  else if (resource === undefined) throw new TypeError("a resource is needed, or a url");
  const until = seconds(expires);
  const isCustom = resource !== undefined || starts !== undefined || ip !== undefined;
  const from = starts === undefined ? undefined : seconds(starts);
  const policy = isCustom
    ? customPolicy({ resource: resource ?? url, expires: until, starts: from, ip })
    : cannedPolicy(url, until);
  const signature = encode(await keys.signPolicy(key, policy));
  const terms = isCustom ? ["Policy", encode(keys.utf8(policy))] : ["Expires", String(until)];
  return [terms, ["Signature", signature], ["Key-Pair-Id", keyId], ["Hash-Algorithm", "SHA256"]];
}

export async function signUrl(options) {
  if (/[?&](Expires|Policy|Signature|Key-Pair-Id|Hash-Algorithm)(=|&|$)/.test(options.url)) {
    throw new TypeError("the URL has signing parameters already; sign it without them");
  }
  const parameters = await cloudfront(options);
  return append(options.url, parameters.map((pair) => pair.join("=")).join("&"));
}

export async function signCookies(options) {
  const parameters = await cloudfront(options);
  return Object.fromEntries(parameters.map(([name, value]) => [`CloudFront-${name}`, value]));
}

const covered = (keyId, expires, extent, ip, scheme, authority, reach) =>
  `selvedge-hmac-1\n${keyId}\n${expires}\n${extent}\n${ip ?? "-"}\n${scheme}://${authority}${reach}`;

function reach(pathAndQuery, extent) {
  if (extent === 0) return pathAndQuery;
  const cut = pathAndQuery.split("?")[0].slice(0, extent);
  return cut.length === extent && cut.endsWith("/") ? cut : undefined;
}

export async function signToken({ url, prefix, expires, ip, keyId, key }) {
  checkKeyId(keyId);
  const { scheme, authority, pathAndQuery } = split(prefix ?? url);
  const extent = prefix === undefined ? 0 : pathAndQuery.length;
  const part = reach(pathAndQuery, extent);
  if (part === undefined) throw new TypeError("a prefix ends with a slash of the path");
  const until = seconds(expires);
  const address = ip === undefined ? undefined : canonical(ip);
  if (ip !== undefined && address === undefined) throw new TypeError(`a token is for one address: ${ip}`);
  const mac = await keys.signBytes(key, covered(keyId, until, extent, address, scheme, authority, part));
  return `1.${until}.${extent}.${ip === undefined ? "-" : "a"}.${keys.toBase64Url(mac)}.${keyId}`;
}

const sha256 = async (text) => keys.toBase64Url(await crypto.subtle.digest("SHA-256", keys.utf8(text)));

export async function signJwt({ url, pattern, expires, starts, ip, encryptWith, issuer, audience, id, renew, keyId, key }) {
  checkKeyId(keyId);
  if (url !== undefined) split(url);
  if (encryptWith !== undefined) checkKeyId(encryptWith.keyId);
  const viewers = ip === undefined ? undefined : range(ip);
  const claims = {
    iss: issuer,
    aud: audience,
    exp: expires === undefined ? undefined : seconds(expires),
    nbf: starts === undefined ? undefined : seconds(starts),
    jti: id,
    cdniv: 1,
    cdniip: viewers !== undefined && encryptWith !== undefined ? await seal(viewers, encryptWith) : viewers,
    cdniuc: url === undefined ? `regex:${pattern}` : `hash:sha-256;${await sha256(url)}`,
    cdniets: renew?.seconds,
    cdnistt: renew && 1,
    cdnistd: renew && (renew.depth ?? 0),
  };
  const header = { alg: keys.ALGORITHMS[key.kind], kid: keyId, typ: "JWT" };
  const part = (value) => keys.toBase64Url(keys.utf8(JSON.stringify(value)));
  const message = `${part(header)}.${part(claims)}`;
  return `${message}.${keys.toBase64Url(await keys.signBytes(key, message))}`;
}

export const withToken = (url, scheme, token) => append(url, `${NAMES[scheme][0]}=${token}`);

class Refusal extends Error {}
const refuse = (reason) => {
  throw new Refusal(reason);
};

/** The values of these names; each may occur once. */
function find(pairs, names) {
  const found = {};
  for (const part of pairs) {
    const end = part.indexOf("=") < 0 ? part.length : part.indexOf("=");
    const name = part.slice(0, end);
    if (!names.includes(name)) continue;
    if (name in found) refuse("parameter-duplicate");
    found[name] = part.slice(end + 1);
  }
  return found;
}

const inQuery = (target) => (target.includes("?") ? target.slice(target.indexOf("?") + 1).split("&") : []);
const inCookies = (fields) => fields.flatMap((field) => field.split(";").map((part) => part.replace(/^[ \t]+|[ \t]+$/g, "")));

function strip(target, accept) {
  const names = accept.flatMap((scheme) => NAMES[scheme]);
  const end = target.indexOf("?") < 0 ? target.length : target.indexOf("?");
  let path = target.slice(0, end);
  if (accept.includes("uri-signing")) {
    const bare = (segment) => segment.split(";").filter((part, index) => index === 0 || !part.startsWith(`${PACKAGE}=`)).join(";");
    path = path.split("/").map(bare).join("/");
  }
  if (end === target.length) return path;
  const kept = inQuery(target).filter((part) => !names.includes(part.split("=")[0]));
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`;
}

function checkTime(now, expires, starts) {
  if (expires !== undefined && now >= expires) refuse("signature-expired");
  if (starts !== undefined && now <= starts) refuse("signature-early");
}

function keyOf(request, keyId, kinds) {
  const key = Object.hasOwn(request.keys, keyId) ? request.keys[keyId] : refuse("key-unknown");
  return kinds.includes(key.kind) ? key : refuse("key-unsuitable");
}

async function judgeCloudfront(request, place) {
  const prefix = place === "url" ? "" : "CloudFront-";
  const pairs = place === "url" ? inQuery(request.target) : inCookies(request.cookies);
  const found = find(pairs, PARAMETERS.map((name) => prefix + name));
  if (Object.keys(found).length === 0) return undefined;
  const value = (name, most, form) => {
    const text = found[prefix + name];
    if (text === undefined) refuse("parameter-missing");
    return text !== "" && text.length <= most && form.test(text) ? text : refuse("parameter-malformed");
  };
  const isCustom = found[`${prefix}Policy`] !== undefined;
  if (isCustom && found[`${prefix}Expires`] !== undefined) refuse("policy-ambiguous");
  const terms = isCustom ? value("Policy", 4096, /^/) : Number(value("Expires", 12, /^[1-9][0-9]*$/));
  const signature = value("Signature", 1368, /^/);
  const keyId = value("Key-Pair-Id", 128, /^/);
  const hash = HASHES.get(found[`${prefix}Hash-Algorithm`] ?? "SHA1") ?? refuse("parameter-malformed");
  const key = keyOf(request, keyId, ["rsa", "p256", "ed25519"]);
  const { scheme, authority, resource, now, address } = request;
  let [policy, message] = [{ expires: terms }, undefined];
  if (isCustom) {
    message = decode(terms) ?? refuse("parameter-malformed");
    policy = parsePolicy(message) ?? refuse("policy-malformed");
  }
  checkTime(now, policy.expires, policy.starts);
  if (!isCustom) {
    const url = `${scheme}://${authority}${resource}`;
    if (/[^\x21-\x7e]|["\\]/.test(url)) refuse("url-malformed");
    message = keys.utf8(cannedPolicy(url, policy.expires));
  }
  if (policy.ip !== undefined && !contains(policy.ip, address)) refuse("address-mismatch");
  if (key.kind === "ed25519") refuse("key-unsuitable");
  const bytes = decode(signature);
  if (bytes === undefined || !keys.fits(key, bytes)) refuse("parameter-malformed");
  if (!(await keys.verifyPolicy(key, hash, message, bytes))) refuse("signature-mismatch");
  if (isCustom && !covers(policy.resource, scheme, authority, resource)) refuse("resource-mismatch");
  return { scheme: "cloudfront", keyId, expires: policy.expires };
}

async function judgeHmac(request, place) {
  const token = find(place === "url" ? inQuery(request.target) : inCookies(request.cookies), [TOKEN])[TOKEN];
  if (token === undefined) return undefined;
  const parts = /^1\.([1-9]\d{0,11})\.(0|[1-9]\d{0,9})\.([a-])\.([A-Za-z0-9_-]{43})\.(.+)$/.exec(token);
  const mac = parts && keys.fromBase64Url(parts[4]);
  if (!mac || token.length > 512) refuse("parameter-malformed");
  const [expires, extent, bound, keyId] = [Number(parts[1]), Number(parts[2]), parts[3] === "a", parts[5]];
  checkTime(request.now, expires);
  const key = keyOf(request, keyId, ["hmac"]);
  if (bound && request.address === undefined) refuse("address-mismatch");
  const part = reach(request.resource, extent) ?? refuse("resource-mismatch");
  const message = covered(keyId, expires, extent, bound ? request.address : undefined, request.scheme, request.authority, part);
  if (!(await keys.verifyBytes(key, message, mac))) refuse("signature-mismatch");
  return { scheme: "hmac", keyId, expires };
}

function readJwt(token) {
  const parts = token.split(".");
  const json = (part) => {
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(keys.fromBase64Url(part)));
    } catch {
      return undefined;
    }
  };
  const [header, claims] = [json(parts[0]), json(parts[1] ?? "")];
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  if (parts.length !== 3 || token.length > 8192 || !isObject(header) || !isObject(claims)) refuse("token-malformed");
  if ("crit" in header || "zip" in header || "enc" in header) refuse("token-malformed");
  if (typeof (header.kid ?? "") !== "string") refuse("token-malformed");
  return { header, claims, message: `${parts[0]}.${parts[1]}`, signature: keys.fromBase64Url(parts[2]) };
}

const isText = (value) => typeof value === "string";
const isWhole = (value) => Number.isSafeInteger(value) && value >= 0;
const isTime = (value) => Number.isFinite(value) && value <= 999_999_999_999;
const isSealed = (address) => address.split(".").length === 5;
/** RFC 9246's own example puts a network of IPv6 into brackets (appendix A.2). */
const bare = (address) => /^\[(.*:.*)\]$/s.exec(address)?.[1] ?? address;
/** What the claims of RFC 9246 section 2.1 must be; whatever else stands in a token is passed over. */
const CLAIMS = {
  iss: isText,
  sub: isText,
  aud: (value) => isText(value) || (Array.isArray(value) && value.every(isText)),
  exp: isTime,
  nbf: isTime,
  iat: isTime,
  jti: isText,
  cdniv: (value) => value === 1,
  // Extensions that must be understood, of which none is known.
  cdnicrit: () => false,
  cdniip: (value) => isText(value) && (network(bare(value)) !== undefined || isSealed(value)),
  cdniuc: isText,
  cdniets: isWhole,
  cdnistt: isWhole,
  cdnistd: isWhole,
};

function checkClaims(claims, { issuers, audience, now, address }) {
  const wellFormed = Object.entries(CLAIMS).every(([name, fits]) => !Object.hasOwn(claims, name) || fits(claims[name]));
  if (!wellFormed || !Object.hasOwn(claims, "cdniuc")) refuse("token-malformed");
  const { exp, nbf, iss, aud, cdniip } = claims;
  if (exp !== undefined && now >= exp) refuse("signature-expired");
  if (nbf !== undefined && now < nbf) refuse("signature-early");
  if (iss !== undefined && !issuers.includes(iss)) refuse("claim-refused");
  if (aud !== undefined && ![aud].flat().some((name) => audience.includes(name))) refuse("claim-refused");
  if (cdniip !== undefined && !isSealed(cdniip) && !contains(bare(cdniip), address)) refuse("address-mismatch");
}

/** The token in the URL, or the first good one among the cookies: browsers send every one of the name whose path fits. */
async function judgeJwt(request, place) {
  if (place === "url") {
    const inPath = request.target.split("?")[0].split("/").flatMap((segment) => segment.split(";").slice(1));
    const token = find([...inQuery(request.target), ...inPath], [PACKAGE])[PACKAGE];
    return token === undefined ? undefined : judgeToken(request, token);
  }
  let refusal;
  const named = inCookies(request.cookies).filter((part) => part.split("=")[0] === PACKAGE);
  for (const part of named.slice(0, MOST_COOKIES)) {
    try {
      return await judgeToken(request, part.slice(PACKAGE.length + 1));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusal ??= error;
    }
  }
  if (refusal) throw refusal;
  return undefined;
}

async function judgeToken(request, token) {
  const { header, claims, message, signature } = readJwt(token);
  const fitting = Object.keys(request.keys).filter((id) => keys.ALGORITHMS[request.keys[id].kind] === header.alg);
  const keyId = header.kid ?? (fitting.length === 1 ? fitting[0] : refuse("key-unknown"));
  const key = keyOf(request, keyId, Object.keys(keys.ALGORITHMS));
  // The key says the algorithm: a header that could choose it would choose its check.
  if (keys.ALGORITHMS[key.kind] !== header.alg) refuse("key-unsuitable");
  checkClaims(claims, request);
  if (!signature || !(await keys.verifyBytes(key, message, signature))) refuse("signature-mismatch");
  if (claims.cdniip !== undefined && isSealed(claims.cdniip)) await checkSealed(claims.cdniip, request);
  const url = `${request.scheme}://${request.authority}${request.resource}`;
  const plain = normal(request);
  const [, form, container] = /^(regex:|hash:sha-256;)(.*)$/s.exec(claims.cdniuc) ?? refuse("token-malformed");
  const opens = form === "regex:" ? pattern(container).test(plain) : [await sha256(url), await sha256(plain)].includes(container);
  if (!opens) refuse("resource-mismatch");
  return { scheme: "uri-signing", keyId, expires: claims.exp };
}

/** Decrypted is only what a good signature is over. */
async function checkSealed(sealed, { decryptionKeys, address }) {
  const { text, failure } = await open(sealed, decryptionKeys);
  if (failure !== undefined) refuse(failure);
  if (network(bare(text)) === undefined) refuse("token-malformed");
  if (!contains(bare(text), address)) refuse("address-mismatch");
}

/** RFC 9246 section 3.1: no default port, escapes in capitals, and none where none is needed. */
function normal({ scheme, authority, resource }) {
  const port = { http: ":80", https: ":443" }[scheme];
  const host = authority.endsWith(port) ? authority.slice(0, -port.length) : authority;
  const plain = resource.replace(/%([0-9a-f]{2})/gi, (escape, code) => {
    const letter = String.fromCharCode(parseInt(code, 16));
    return /[A-Za-z0-9._~-]/.test(letter) ? letter : escape.toUpperCase();
  });
  return `${scheme}://${host}${plain}`;
}

function pattern(text) {
  try {
    return new RegExp(`^(?:${text})$`);
  } catch {
    return refuse("token-malformed");
  }
}

const JUDGES = { cloudfront: judgeCloudfront, "uri-signing": judgeJwt, hmac: judgeHmac };

export async function verify({ url, cookies = [], address, keys: group, decryptionKeys = {}, accept = ["cloudfront"], issuers = [], audience = [], now }) {
  const parts = /^(https?):\/\/([^/]*)(\/.*)$/s.exec(url);
  if (!parts) throw new TypeError(`a whole URL is needed: ${url}`);
  const [scheme, authority, target] = [parts[1], parts[2].toLowerCase(), parts[3]];
  if (hasDotSegments(target)) return { granted: false, reason: "url-malformed" };
  const time = now === undefined ? Date.now() / 1000 : now instanceof Date ? now.getTime() / 1000 : now;
  const resource = strip(target, accept);
  const request = { scheme, authority, target, resource, cookies: [cookies].flat(), address: canonical(address), keys: group, decryptionKeys, issuers, audience, now: time };
  let outlived = false;
  for (const place of ["url", "cookies"]) {
    for (const name of accept) {
      if (outlived && name !== "uri-signing") continue;
      try {
        const grant = await JUDGES[name](request, place);
        if (grant !== undefined) return { granted: true, ...grant };
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        if (error.message !== "signature-expired" || name !== "uri-signing" || place !== "url") {
          return { granted: false, reason: error.message };
        }
        // A player goes on asking with the token that it began with, while its cookie is renewed.
        outlived = true;
      }
    }
  }
  return { granted: false, reason: outlived ? "signature-expired" : "signature-missing" };
}
