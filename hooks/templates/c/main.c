// HOOK_NAME: what it does, in a sentence.

#include "bindings/hook.h"

#include <stdio.h>
#include <string.h>

typedef selvedge_edge_types_borrow_request_t request_t;
typedef selvedge_edge_types_borrow_response_t response_t;

// Text for a call into the node, which copies it.
static hook_string_t text(const char *text) { return (hook_string_t){(uint8_t *)text, strlen(text)}; }

// Header values are bytes: not every header is UTF-8.
static selvedge_edge_types_field_value_t value(const char *text) {
    return (selvedge_edge_types_field_value_t){(uint8_t *)text, strlen(text)};
}

// A failure of the hook: the node's `on-error` decides what the viewer gets.
static bool failed(hook_string_t *error, const char *cause) {
    hook_string_dup(error, cause);
    return false;
}
//> viewer-request

// Route and signature are checked, the cache is not yet asked.
bool exports_selvedge_edge_viewer_request_on_viewer_request(
    request_t request, exports_selvedge_edge_viewer_request_outcome_t *outcome, hook_string_t *error) {
    hook_string_t path, key = text("greeting"), name = text("x-hook"), kind = text("content-type");
    hook_string_t greeting = text("hello from the edge");
    selvedge_edge_types_field_value_t mark = value("HOOK_NAME"), plain = value("text/plain; charset=utf-8");
    selvedge_edge_types_edit_error_t refused;
    selvedge_edge_types_body_error_t too_large;
    char line[256];

    selvedge_edge_types_method_request_path(request, &path);
    if (path.len == strlen("/hello") && memcmp(path.ptr, "/hello", path.len) == 0) {
        selvedge_edge_config_get(&key, &greeting); // leaves it where nothing is set
        snprintf(line, sizeof line, "%.*s\n", (int)greeting.len, (char *)greeting.ptr);
        hook_list_u8_t body = {(uint8_t *)line, strlen(line)};
        selvedge_edge_types_own_response_t response = selvedge_edge_types_constructor_response(200);
        response_t made = selvedge_edge_types_borrow_response(response);
        if (!selvedge_edge_types_method_response_set_header(made, &kind, &plain, &refused) ||
            !selvedge_edge_types_method_response_set_body(made, &body, &too_large))
            return failed(error, "the greeting was refused");
        outcome->tag = EXPORTS_SELVEDGE_EDGE_VIEWER_REQUEST_OUTCOME_RESPOND;
        outcome->val.respond = response;
        return true;
    }
    if (!selvedge_edge_types_method_request_set_header(request, &name, &mark, &refused))
        return failed(error, "x-hook was refused");
    snprintf(line, sizeof line, "%.*s goes on", (int)path.len, (char *)path.ptr);
    hook_string_t said = text(line);
    selvedge_edge_log_log(SELVEDGE_EDGE_LOG_LEVEL_INFO, &said);
    hook_string_free(&path);
    outcome->tag = EXPORTS_SELVEDGE_EDGE_VIEWER_REQUEST_OUTCOME_NEXT;
    return true;
}
//<
//> origin-request

// The cache had no answer; the request is on its way to the origin.
bool exports_selvedge_edge_origin_request_on_origin_request(
    request_t request, exports_selvedge_edge_origin_request_outcome_t *outcome, hook_string_t *error) {
    hook_string_t path, cookie = text("cookie");
    selvedge_edge_types_edit_error_t refused;

    selvedge_edge_types_method_request_path(request, &path);
    bool is_static = path.len >= strlen("/static/") && memcmp(path.ptr, "/static/", strlen("/static/")) == 0;
    hook_string_free(&path);
    if (is_static && !selvedge_edge_types_method_request_remove_header(request, &cookie, &refused))
        return failed(error, "cookie was refused");
    outcome->tag = EXPORTS_SELVEDGE_EDGE_ORIGIN_REQUEST_OUTCOME_NEXT;
    return true;
}
//<
//> origin-response

// The origin has answered, nothing is stored yet.
bool exports_selvedge_edge_origin_response_on_origin_response(
    request_t request, response_t response, exports_selvedge_edge_origin_response_outcome_t *outcome,
    hook_string_t *error) {
    hook_string_t tag = text("missing");
    selvedge_edge_types_edit_error_t refused;

    if (selvedge_edge_types_method_response_status(response) == 404 &&
        (!selvedge_edge_types_method_response_set_ttl(response, 5, &refused) ||
         !selvedge_edge_types_method_response_add_tag(response, &tag, &refused)))
        return failed(error, "lifetime or tag was refused");
    outcome->tag = EXPORTS_SELVEDGE_EDGE_ORIGIN_RESPONSE_OUTCOME_NEXT;
    return true;
}
//<
//> viewer-response

// The answer is about to leave, from the cache or not.
bool exports_selvedge_edge_viewer_response_on_viewer_response(
    request_t request, response_t response, hook_string_t *error) {
    hook_string_t frame = text("x-frame-options"), server = text("server");
    selvedge_edge_types_field_value_t deny = value("DENY");
    selvedge_edge_types_edit_error_t refused;

    if (!selvedge_edge_types_method_response_set_header(response, &frame, &deny, &refused) ||
        !selvedge_edge_types_method_response_remove_header(response, &server, &refused))
        return failed(error, "a header was refused");
    return true;
}
//<
