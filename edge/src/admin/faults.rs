//! Rehearsals of origins' failures: how they stand, and ending one at once.

use super::said;
use crate::body::Body;
use crate::node::Node;
use crate::route::segment;
use http::{Method, Response, StatusCode};
use origin_shield::FaultState;
use serde_json::{Map, Value, json};

/// Every rehearsal that the config asks for, by its origin.
pub(super) fn faults(node: &Node) -> Map<String, Value> {
    node.faults().map(|fault| (fault.origin().to_owned(), shown(fault.state()))).collect()
}

/// Answers `GET /faults` and `POST /faults/NAME/stop`, by the path below `/faults`.
pub(super) fn answer(node: &Node, method: &Method, below: &str) -> Response<Body> {
    match (method, below) {
        (&Method::GET, "") => return said(StatusCode::OK, &faults(node).into()),
        (_, "") | (&Method::GET, _) => {
            return said(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method-not-allowed" }));
        }
        _ => {}
    }
    let name = below.strip_prefix('/').and_then(|path| path.strip_suffix("/stop")).and_then(segment);
    let fault = name.and_then(|name| node.faults().find(|fault| *fault.origin() == *name));
    let (Some(fault), &Method::POST) = (fault, method) else {
        let known: Vec<_> = node.faults().map(|fault| fault.origin()).collect();
        return said(StatusCode::NOT_FOUND, &json!({ "error": "no-such-fault", "faults": known }));
    };
    fault.stop();
    said(StatusCode::OK, &shown(fault.state()))
}

fn shown(state: FaultState) -> Value {
    let FaultState { is_active, left, end, delayed, aborted, requests, errors } = state;
    json!({
        "active": is_active,
        "left_s": left.as_secs(),
        "ended": end.map(|end| end.to_string()),
        "delayed": delayed,
        "aborted": aborted,
        "requests": requests,
        "errors": errors,
    })
}
