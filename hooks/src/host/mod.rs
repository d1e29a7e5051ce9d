//! The host's side of the contract.

mod crypto;
mod facts;
mod fetch;
mod image;
mod kv;
mod metrics;
mod request;
mod response;
mod secrets;
mod store;

use http::HeaderMap;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::Imports;
use crate::bindings::selvedge::edge::types;
use crate::state::CallState;

/// All that a hook can import: the contract, and of WASI 0.2 what a standard library needs.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    Imports::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}

impl types::Host for CallState {}

fn first(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    headers.get(name).map(|value| value.as_bytes().to_vec())
}

fn values(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn entries(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
