#![doc = include_str!("../README.md")]

mod bindings;
mod body;
pub mod config;
mod cookie;
pub mod crypto;
mod error;
#[doc(hidden)]
pub mod export;
pub mod facts;
pub mod fetch;
pub mod image;
pub mod kv;
pub mod log;
pub mod metrics;
mod outcome;
pub mod query;
pub mod random;
mod request;
mod response;
pub mod secrets;
pub mod store;
pub mod time;
mod transform;

pub use body::BodyReader;
pub use cookie::{Cookie, SameSite};
pub use error::{BodyError, EditError, EditErrorKind, Result};
pub use outcome::{OriginRequestOutcome, OriginResponseOutcome, ViewerRequestOutcome};
pub use query::Query;
pub use request::Request;
pub use response::Response;
pub use transform::TransformRefusal;

/// All that most hooks need: `use selvedge_hook::prelude::*;`.
pub mod prelude {
    pub use crate::{
        BodyError, BodyReader, Cookie, EditError, EditErrorKind, OriginRequestOutcome, OriginResponseOutcome,
        Query, Request, Response, Result, SameSite, TransformRefusal, ViewerRequestOutcome,
    };
    pub use crate::{config, crypto, facts, fetch, image, kv, metrics, query, random, secrets, store, time};
    pub use crate::{debug, error, hook, info, warn};
}
