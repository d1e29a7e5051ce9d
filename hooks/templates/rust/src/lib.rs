//! HOOK_NAME: what it does, in a sentence.

use selvedge_hook::prelude::*;

hook!(
    //> viewer-request
    viewer-request: on_viewer_request,
    //<
    //> origin-request
    origin-request: on_origin_request,
    //<
    //> origin-response
    origin-response: on_origin_response,
    //<
    //> viewer-response
    viewer-response: on_viewer_response,
    //<
);
//> viewer-request

/// Route and signature are checked, the cache is not yet asked.
fn on_viewer_request(request: &Request) -> Result<Option<Response>> {
    if request.path() == "/hello" {
        let greeting = config::get("greeting").unwrap_or_else(|| "hello from the edge".to_owned());
        return Ok(Some(Response::text(200, format!("{greeting}\n"))?));
    }
    request.set_header("x-hook", "HOOK_NAME")?;
    info!("{} goes on", request.path());
    Ok(None)
}
//<
//> origin-request

/// The cache had no answer; the request is on its way to the origin.
fn on_origin_request(request: &Request) -> Result {
    if request.path().starts_with("/static/") {
        request.remove_header("cookie")?;
    }
    Ok(())
}
//<
//> origin-response

/// The origin has answered, nothing is stored yet.
fn on_origin_response(_: &Request, response: &Response) -> Result {
    if response.status() == 404 {
        response.set_ttl(std::time::Duration::from_secs(5))?;
        response.add_tag("missing")?;
    }
    Ok(())
}
//<
//> viewer-response

/// The answer is about to leave, from the cache or not.
fn on_viewer_response(_: &Request, response: &Response) -> Result {
    response.set_header("x-frame-options", "DENY")?;
    response.remove_header("server")?;
    Ok(())
}
//<
