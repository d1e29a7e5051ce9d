// What `hooks/thumbnail/examples/editing` does, in JavaScript: `cargo bench -p hooks --bench languages` measures it.

const bytes = (text) => new TextEncoder().encode(text);
const text = (bytes) => new TextDecoder().decode(bytes);

export const viewerRequest = {
  onViewerRequest(request) {
    const agent = text(request.header("user-agent") ?? new Uint8Array());
    request.setHeader("x-device", bytes(agent.includes("Mobile") ? "small" : "large"));
    request.setHeader("accept-language", bytes("en"));
    request.removeHeader("cookie");
    return { tag: "next" };
  },
};
