// What `hooks/thumbnail/examples/editing` does, in JavaScript: `cargo bench -p hooks --bench languages` measures it.

import { bytes, text } from "./bytes.js";

export const viewerRequest = {
  onViewerRequest(request) {
    const agent = text(request.header("user-agent") ?? new Uint8Array());
    request.setHeader("x-device", bytes(agent.includes("Mobile") ? "small" : "large"));
    request.setHeader("accept-language", bytes("en"));
    request.removeHeader("cookie");
    return { tag: "next" };
  },
};
