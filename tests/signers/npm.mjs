// What @aws-sdk/cloudfront-signer makes of the orders on standard input: one answer for each, as JSON.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [, , packages] = process.argv;
const { getSignedCookies, getSignedUrl } = createRequire(`${packages}/`)("@aws-sdk/cloudfront-signer");
const { orders, key, keyPairId } = JSON.parse(readFileSync(0, "utf8"));

const made = orders.map(({ what, url, policy, expires, ip, hash }) => {
  const terms = policy ? { policy } : { dateLessThan: new Date(expires * 1000).toISOString(), ipAddress: ip };
  const options = { url: policy && what === "cookies" ? undefined : url, keyPairId, privateKey: key, ...terms };
  if (hash) options.hashAlgorithm = hash;
  return what === "cookies" ? { url, cookies: getSignedCookies(options) } : { url: getSignedUrl(options) };
});
console.log(JSON.stringify(made));
