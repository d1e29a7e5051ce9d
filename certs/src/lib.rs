//! Certificates: where they come from, which one a viewer gets, and how TLS to viewers is set up.
//!
//! A site's certificate is read from files ([`load_files`]) or issued by the machine's own development authority
//! ([`LocalAuthority`]). The node puts all of them into one [`CertificateStore`], which picks by server name, and makes
//! one [`viewer_tls`] configuration of it. The time is an argument wherever a certificate is dated.
#![forbid(unsafe_code)]

mod authority;
mod error;
mod files;
mod publish;
mod settings;
mod store;
mod viewer;

pub use authority::LocalAuthority;
pub use error::CertsError;
pub use files::load_files;
pub use settings::{Material, SiteTls};
pub use store::CertificateStore;
pub use viewer::viewer_tls;
