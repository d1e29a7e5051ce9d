"""HOOK_NAME: what it does, in a sentence."""

from wit_world import exports
from wit_world.imports import config, log
from wit_world.imports.types import Request, Response
#> viewer-request
from wit_world.exports import viewer_request


class ViewerRequest(exports.ViewerRequest):
    """Route and signature are checked, the cache is not yet asked."""

    def on_viewer_request(self, request: Request) -> viewer_request.Outcome:
        if request.path() == "/hello":
            response = Response(200)
            response.set_header("content-type", b"text/plain; charset=utf-8")
            greeting = config.get("greeting") or "hello from the edge"
            response.set_body(f"{greeting}\n".encode())
            return viewer_request.Outcome_Respond(response)
        request.set_header("x-hook", b"HOOK_NAME")
        log.log(log.Level.INFO, f"{request.path()} goes on")
        return viewer_request.Outcome_Next()
#<
#> origin-request
from wit_world.exports import origin_request


class OriginRequest(exports.OriginRequest):
    """The cache had no answer; the request is on its way to the origin."""

    def on_origin_request(self, request: Request) -> origin_request.Outcome:
        if request.path().startswith("/static/"):
            request.remove_header("cookie")
        return origin_request.Outcome_Next()
#<
#> origin-response
from wit_world.exports import origin_response


class OriginResponse(exports.OriginResponse):
    """The origin has answered, nothing is stored yet."""

    def on_origin_response(self, request: Request, response: Response) -> origin_response.Outcome:
        if response.status() == 404:
            response.set_ttl(5)
            response.add_tag("missing")
        return origin_response.Outcome_Next()
#<
#> viewer-response


class ViewerResponse(exports.ViewerResponse):
    """The answer is about to leave, from the cache or not."""

    def on_viewer_response(self, request: Request, response: Response) -> None:
        response.set_header("x-frame-options", b"DENY")
        response.remove_header("server")
#<
