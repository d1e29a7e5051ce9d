//! What can go wrong with certificates.

use std::io;
use std::path::PathBuf;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A file that the config or the state folder names cannot be read or written.
    #[error("cannot {action} {}: {cause}", path.display())]
    File {
        /// `read`, `write` or `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The config names an environment variable that is not set, or not text.
    #[error("the environment variable {0} is not set to a PEM private key; set it, or use {{ file = … }}")]
    Variable(String),
    /// The named place holds no certificate or key, or a broken one.
    #[error("{place} holds no usable {wanted}: {cause}")]
    Material {
        /// The file or environment variable.
        place: String,
        /// What was looked for.
        wanted: &'static str,
        /// What was found.
        cause: String,
    },
    /// The config pairs a certificate with another certificate's key.
    #[error("the private key in {key} does not belong to the certificate in {}; the first certificate in the file must be the site's own", cert.display())]
    Mismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The place of the key.
        key: String,
    },
    /// The development authority's state is damaged.
    #[error("the local certificate authority in {} cannot be used: {cause}; delete root.pem and root.key there to make a new one, which viewers must then trust anew", folder.display())]
    Authority {
        /// The folder of the authority.
        folder: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// A site name for which no certificate can be issued.
    #[error("no certificate can be issued for {name:?}: {cause}")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// The caller's clock is outside of what a certificate can say.
    #[error("the clock says a time before 1970 or after 9900; set it")]
    Clock,
    /// The cryptography library failed.
    #[error("cannot {action}: {cause}")]
    Library {
        /// What was being done.
        action: &'static str,
        /// What the library says.
        cause: String,
    },
}
