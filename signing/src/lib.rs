//! Signed URLs: minted by a publisher, verified by the edge before anything else looks at a request.
//!
//! The room is pure: no clock, no files, no sockets. The caller says what time it is and hands over key
//! material as text, so the same crate serves a node and a publisher who never runs one.
//!
//! ```
//! use signing::{KeyGroup, Presented, PrivateKey, SchemeName, Verdict};
//! use std::time::{Duration, SystemTime};
//!
//! let key = PrivateKey::generate_rsa()?;
//! let group = KeyGroup::new(vec![("K1".to_owned(), key.public_key()?.into())], &[SchemeName::Cloudfront]);
//! let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
//!
//! let url = signing::sign_canned("https://cdn.test/a.jpg", now + Duration::from_secs(60), "K1", &key)?;
//! let presented = Presented::url("https", "cdn.test", url.trim_start_matches("https://cdn.test"));
//! assert!(matches!(group.verify(&presented, now), Verdict::Granted(_)));
//! assert_eq!(group.strip(presented.path_and_query), "/a.jpg");
//! # Ok::<(), signing::SigningError>(())
//! ```
#![forbid(unsafe_code)]

mod cookie;
mod error;
mod explain;
mod grant;
mod key;
mod memory;
mod pem;
mod policy;
mod resource;
mod scheme;
mod settings;
mod sign;
mod strict;
mod suspects;
mod url;
mod verify;

pub use cookie::strip_cookies;
pub use error::SigningError;
pub use explain::{Cause, nearest_cause, read_terms, without_tokens};
pub use grant::{Grant, Reason, Renewal, Verdict};
pub use key::{EncryptionKey, Key, KeyKind, PrivateKey, PublicKey, Secret, SigningKey};
pub use policy::Policy;
pub use scheme::SchemeName;
pub use scheme::uri_signing::Claims;
pub use settings::{KeyGroupSettings, KeySettings, Material};
pub use sign::{
    Cookie, Reach, cookies_canned, cookies_policy, hmac_token, in_query, sign_canned, sign_jwt, sign_policy,
};
pub use url::{strip, strip_all, without_token};
pub use verify::{KeyGroup, Presented};
