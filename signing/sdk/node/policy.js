// CloudFront's policies: what they say, and which URLs their resource is about. The rules are those of the node, which
// docs/signed-urls.md tells; one file of vectors holds both to them.

import { fromBase64, toBase64 } from "./keys.js";

export const cannedPolicy = (url, expires) =>
  `{"Statement":[{"Resource":"${url}","Condition":{"DateLessThan":{"AWS:EpochTime":${expires}}}}]}`;

export function customPolicy({ resource, expires, starts, ip }) {
  const condition = { DateLessThan: { "AWS:EpochTime": expires } };
  if (starts !== undefined) condition.DateGreaterThan = { "AWS:EpochTime": starts };
  if (ip !== undefined) condition.IpAddress = { "AWS:SourceIp": range(ip) };
  return JSON.stringify({ Statement: [{ Resource: resource, Condition: condition }] });
}

/** CloudFront's base64: `-`, `_` and `~` where the standard has `+`, `=` and `/`. */
export const encode = (bytes) => toBase64(bytes).replaceAll("+", "-").replaceAll("=", "_").replaceAll("/", "~");

export function decode(text) {
  if (!/^[A-Za-z0-9_~-]*$/.test(text)) return undefined;
  return fromBase64(text.replaceAll("-", "+").replaceAll("_", "=").replaceAll("~", "/"));
}

const only = (object, required, optional = []) =>
  typeof object === "object" && object !== null && !Array.isArray(object) &&
  required.every((name) => name in object) && Object.keys(object).every((name) => [...required, ...optional].includes(name));

/** What a custom policy says; `undefined` where it says anything else than CloudFront's. */
export function parsePolicy(bytes) {
  let document;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    document = JSON.parse(text);
    if (repeats(text)) return undefined;
  } catch {
    return undefined;
  }
  if (!only(document, ["Statement"]) || !Array.isArray(document.Statement) || document.Statement.length !== 1) return undefined;
  const [statement] = document.Statement;
  if (!only(statement, ["Condition"], ["Resource"])) return undefined;
  const { Resource: resource, Condition: condition } = statement;
  if (!only(condition, ["DateLessThan"], ["DateGreaterThan", "IpAddress"])) return undefined;
  const moment = (value) => (only(value, ["AWS:EpochTime"]) ? value["AWS:EpochTime"] : NaN);
  const expires = moment(condition.DateLessThan);
  const starts = "DateGreaterThan" in condition ? moment(condition.DateGreaterThan) : undefined;
  const isTime = (value) => Number.isSafeInteger(value) && value >= 0 && value <= 999_999_999_999;
  if (!isTime(expires) || (starts !== undefined && !isTime(starts))) return undefined;
  if (resource !== undefined && (typeof resource !== "string" || !sections(resource))) return undefined;
  let ip;
  if ("IpAddress" in condition) {
    ip = only(condition.IpAddress, ["AWS:SourceIp"]) ? condition.IpAddress["AWS:SourceIp"] : undefined;
    if (typeof ip !== "string" || !network(ip)) return undefined;
  }
  return { resource, expires, starts, ip };
}

/** Whether an object of this JSON names a member twice, of which `JSON.parse` keeps only the last. */
function repeats(text) {
  const open = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"\s*:?|[{}]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (token.endsWith(":")) {
      const name = JSON.parse(token.slice(0, -1));
      if (open.at(-1).has(name)) return true;
      open.at(-1).add(name);
    }
  }
  return false;
}

function sections(resource) {
  let [scheme, rest] = ["*", resource];
  const end = resource.indexOf("://");
  if (end >= 0 && !resource.slice(0, end).includes("/")) [scheme, rest] = [resource.slice(0, end), resource.slice(end + 3)];
  else if (!resource.startsWith("*")) return undefined;
  const path = rest.indexOf("/") < 0 ? rest.length : rest.indexOf("/");
  return { scheme: scheme.toLowerCase(), authority: rest.slice(0, path).toLowerCase(), path: rest.slice(path) };
}

/** `*`: any characters, `?`: exactly one. */
function matches(pattern, text) {
  let [at, read, star] = [0, 0, undefined];
  while (read < text.length) {
    if (pattern[at] === "*") star = [++at, read];
    else if (at < pattern.length && (pattern[at] === "?" || pattern[at] === text[read])) [at, read] = [at + 1, read + 1];
    else if (star) [at, read] = [star[0], ++star[1]];
    else return false;
  }
  return /^\**$/.test(pattern.slice(at));
}

export function covers(resource, scheme, authority, pathAndQuery) {
  if (resource === undefined || resource === "*") return true;
  const pattern = sections(resource);
  if (!matches(pattern.scheme, scheme) || !matches(pattern.authority, authority)) return false;
  if (pattern.path === "") return pattern.authority.endsWith("*");
  const end = pathAndQuery.indexOf("?");
  if (end < 0) return matches(pattern.path, pathAndQuery);
  const [path, query] = [pathAndQuery.slice(0, end), pathAndQuery.slice(end + 1)];
  if (pattern.path.endsWith("*") && matches(pattern.path, path)) return true;
  return [...pattern.path.matchAll(/\?/g)].some(
    ({ index }) => matches(pattern.path.slice(index + 1), query) && matches(pattern.path.slice(0, index), path),
  );
}

/** The bits of an address: 32 or 128. */
function bits(address) {
  const four = /^(.*:)?(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  if (four) {
    const bytes = four.slice(2).map(Number);
    if (bytes.some((byte, at) => byte > 255 || String(byte) !== four[at + 2])) return undefined;
    if (four[1] === undefined) return bytes.map((byte) => byte.toString(2).padStart(8, "0")).join("");
    const pair = (at) => (bytes[at] * 256 + bytes[at + 1]).toString(16);
    return bits(`${four[1]}${pair(0)}:${pair(2)}`);
  }
  if (!/^[0-9a-f:]+$/i.test(address) || address.split("::").length > 2) return undefined;
  const [head, tail] = address.split("::").map((side) => (side === "" ? [] : side.split(":")));
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array(missing).fill("0"), ...(tail ?? [])];
  if (groups.some((group) => !/^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.map((group) => parseInt(group, 16).toString(2).padStart(16, "0")).join("");
}

/** RFC 5952: no leading zeros, lower case, the first of the longest runs of zeros left out. */
function text(all) {
  if (all.length === 32) return all.match(/.{8}/g).map((byte) => parseInt(byte, 2)).join(".");
  const groups = all.match(/.{16}/g).map((group) => parseInt(group, 2).toString(16)).join(":");
  const runs = groups.match(/\b0(:0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), "");
  if (longest === "") return groups;
  const at = groups.search(new RegExp(`\\b${longest}\\b`));
  return `${groups.slice(0, at).replace(/:$/, "")}::${groups.slice(at + longest.length).replace(/^:/, "")}`;
}

/** An address in its one spelling; an IPv4 one also where it stands in an IPv6 one. `undefined` for what is none. */
export function address(written) {
  const all = written === undefined ? undefined : bits(written);
  const mapped = "0".repeat(80) + "1".repeat(16);
  return all && text(all.startsWith(mapped) && all.length === 128 ? all.slice(96) : all);
}

export function network(written) {
  const [address, length, more] = written.split("/");
  const all = bits(address);
  const size = length === undefined ? all?.length : /^(0|[1-9]\d{0,2})$/.test(length) ? Number(length) : NaN;
  return all && more === undefined && size <= all.length ? { all, prefix: all.slice(0, size), size: all.length } : undefined;
}

/** A network as it is signed: an address and a length. */
export function range(written) {
  const found = network(written);
  if (!found) throw new TypeError(`neither an address nor a network: ${written}`);
  return `${text(found.all)}/${found.prefix.length}`;
}

/** `0.0.0.0/0` is how signers write "anywhere". The viewer's address is in its one spelling. */
export function contains(written, viewer) {
  const range = network(written);
  if (range?.size === 32 && range.prefix === "") return true;
  const all = viewer === undefined ? undefined : bits(viewer);
  return all !== undefined && range !== undefined && all.length === range.size && all.startsWith(range.prefix);
}
