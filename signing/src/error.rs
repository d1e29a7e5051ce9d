//! What can go wrong with keys and with minting.

/// An error of this room. The caller adds which key or file it was about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The key's owner gave text that is not a PEM block (RFC 7468).
    #[error("not a PEM key: {cause}; expected a block that starts with {expected}")]
    Pem {
        /// What is wrong with the text.
        cause: &'static str,
        /// The first lines that would be taken.
        expected: &'static str,
    },
    /// The key's owner gave PEM of another kind.
    #[error("the PEM block is a {label}; expected {expected}")]
    PemLabel {
        /// The kind that was found, shortened.
        label: String,
        /// The first lines that would be taken.
        expected: &'static str,
    },
    /// The key's owner gave a key that cannot be used.
    #[error("the key cannot be used ({cause}); it must be RSA of 2048 to 8192 bits, P-256 or Ed25519")]
    Key {
        /// What the cryptography library says.
        cause: String,
    },
    /// The key's owner gave a secret of so many bytes.
    #[error(
        "a secret must have 32 to 4096 bytes, and this has {0}; `selvedge key new --kind hmac` makes one"
    )]
    Secret(usize),
    /// The key's owner gave something else than a key for encrypted claims.
    #[error(
        "an encryption key is 16 or 32 bytes in base64url, as in `k` of a JWK; `selvedge key new --kind aes` makes one"
    )]
    EncryptionKey,
    /// The caller gave a key of this kind for a scheme that does not know it.
    #[error("a key of the kind {0} cannot sign for the scheme {1}")]
    Unsuitable(&'static str, &'static str),
    /// The caller asked to sign a URL that no viewer would send in this form.
    #[error("{url:?} cannot be signed: {cause}")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong and what to do.
        cause: &'static str,
    },
    /// The caller gave a key id that cannot stand in a URL.
    #[error("{0:?} cannot be a key id: use 1 to 128 letters, digits, '-', '_', '.' or '~'")]
    KeyId(String),
    /// The caller gave an expiry outside of what a URL can say.
    #[error("the expiry must lie between 1970 and the year 33000")]
    Expiry,
    /// The caller gave an address that is none.
    #[error("{0:?} is neither an address nor a network such as 203.0.113.0/24")]
    Network(String),
    /// The caller gave a pattern that no node would take.
    #[error(
        "{0:?} is no regular expression, or too large a one; look-around and back-references are not known"
    )]
    Pattern(String),
    /// The cryptography library failed, which it does only when the machine gives no random numbers or memory.
    #[error("the cryptography library could not {0}")]
    Library(&'static str),
}
