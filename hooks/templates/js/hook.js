// HOOK_NAME: what it does, in a sentence.

import { get } from "selvedge:edge/config@0.1.0";
import { log } from "selvedge:edge/log@0.1.0";
import { Response } from "selvedge:edge/types@0.1.0";

import { bytes } from "./bytes.js";
//> viewer-request

// Route and signature are checked, the cache is not yet asked.
export const viewerRequest = {
  onViewerRequest(request) {
    if (request.path() === "/hello") {
      const response = new Response(200);
      response.setHeader("content-type", bytes("text/plain; charset=utf-8"));
      response.setBody(bytes(`${get("greeting") ?? "hello from the edge"}\n`));
      return { tag: "respond", val: response };
    }
    request.setHeader("x-hook", bytes("HOOK_NAME"));
    log("info", `${request.path()} goes on`);
    return { tag: "next" };
  },
};
//<
//> origin-request

// The cache had no answer; the request is on its way to the origin.
export const originRequest = {
  onOriginRequest(request) {
    if (request.path().startsWith("/static/")) request.removeHeader("cookie");
    return { tag: "next" };
  },
};
//<
//> origin-response

// The origin has answered, nothing is stored yet.
export const originResponse = {
  onOriginResponse(request, response) {
    if (response.status() === 404) {
      response.setTtl(5);
      response.addTag("missing");
    }
    return { tag: "next" };
  },
};
//<
//> viewer-response

// The answer is about to leave, from the cache or not.
export const viewerResponse = {
  onViewerResponse(request, response) {
    response.setHeader("x-frame-options", bytes("DENY"));
    response.removeHeader("server");
  },
};
//<
