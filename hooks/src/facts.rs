//! What a hook may know beside the messages themselves.

use std::net::IpAddr;
use std::sync::Arc;

use crate::outside::Outside;

/// Facts about the viewer, the node and the request. Cheap to clone: every call keeps a copy.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The viewer's address, after trusted peers were believed.
    pub viewer_address: IpAddr,
    /// ISO 3166-1 alpha-2, upper case, where the geo database knows.
    pub country: Option<Arc<str>>,
    /// `TLSv1.2` or `TLSv1.3`; `None` over plain HTTP.
    pub tls_version: Option<&'static str>,
    /// The protocol that the viewer speaks.
    pub http_version: http::Version,
    /// The id in `X-Request-Id` and the logs.
    pub request_id: Arc<str>,
    /// The node's name.
    pub node: Arc<str>,
    /// The site's name in the config.
    pub site: Arc<str>,
    /// The route's path pattern.
    pub route: Arc<str>,
    /// Which version of the hook is called: the beginning of its component's SHA-256.
    pub hook_version: Arc<str>,
    /// Whether that version is a canary: on trial beside the live one.
    pub is_canary: bool,
    /// The way to the node's origins, for hooks that reach them ([`Hook::reaches_out`](crate::Hook::reaches_out)).
    pub outside: Option<Arc<dyn Outside>>,
}
