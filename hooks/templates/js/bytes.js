// Header values and bodies are bytes: not every header is UTF-8. QuickJS has no TextEncoder and no TextDecoder.

const beyondAscii = /[^\0-\x7f]/;

// The bytes of a text, in UTF-8.
export function bytes(text) {
  const coded = beyondAscii.test(text) ? unescape(encodeURIComponent(text.toWellFormed())) : text;
  const bytes = new Uint8Array(coded.length);
  for (let at = 0; at < coded.length; at++) bytes[at] = coded.charCodeAt(at);
  return bytes;
}

// The text of bytes in UTF-8; of other bytes, a character for each.
export function text(bytes) {
  let coded = "";
  // A call takes no more arguments at once.
  for (let at = 0; at < bytes.length; at += 8192) {
    coded += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192));
  }
  if (!beyondAscii.test(coded)) return coded;
  try {
    return decodeURIComponent(escape(coded));
  } catch {
    return coded;
  }
}
