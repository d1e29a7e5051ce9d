"""What `hooks/thumbnail/examples/editing` does, in Python: `cargo bench -p hooks --bench languages` measures it."""

from wit_world import exports
from wit_world.exports import viewer_request
from wit_world.imports.types import Request


class ViewerRequest(exports.ViewerRequest):
    def on_viewer_request(self, request: Request) -> viewer_request.Outcome:
        agent = request.header("user-agent") or b""
        request.set_header("x-device", b"small" if b"Mobile" in agent else b"large")
        request.set_header("accept-language", b"en")
        request.remove_header("cookie")
        return viewer_request.Outcome_Next()
