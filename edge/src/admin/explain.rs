//! `GET /explain?url=…`: what the node would do with a request, and why.

use super::{Context, said};
use crate::body::Body;
use crate::explain::{Question, Unclear, explain};
use crate::process;
use crate::route::segment;
use http::{Response, StatusCode};
use serde_json::json;

/// Answers for the request that the query describes: `url`, and if need be `method`, `ip`, and `header` and `cookie` as often as
/// needed.
pub(super) async fn answer(context: &Context, query: Option<&str>) -> Response<Body> {
    let question = match question(query.unwrap_or_default()) {
        Ok(question) => question,
        Err(unclear) => return said(StatusCode::BAD_REQUEST, &json!({ "error": unclear.to_string() })),
    };
    let (node, reloader) = (context.current.load(), std::sync::Arc::clone(&context.reload));
    // It reads the config's files and keys: not on a thread that answers.
    let told = tokio::task::spawn_blocking(move || {
        let sources = reloader.sources(&node.config);
        explain(&node, question, sources.as_ref(), process::now())
    });
    match told.await {
        Ok(told) => said(StatusCode::OK, &told),
        Err(error) => said(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() })),
    }
}

fn question(query: &str) -> Result<Question, Unclear> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<(&str, String)> = pairs.filter_map(|(key, value)| Some((key, segment(value)?))).collect();
    let url = pairs.iter().find(|(key, _)| *key == "url").map_or("", |(_, url)| url);
    let others = pairs.iter().filter(|(key, _)| *key != "url");
    others.into_iter().try_fold(Question::about(url)?, |question, (key, value)| question.with(key, value))
}
