//! Why an origin did not answer, in the words of RFC 9209, and how the errors of the libraries below become these words.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;

/// Why an origin did not answer, or did not answer well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The name of the origin could not be resolved.
    DnsError,
    /// The name servers did not answer in time.
    DnsTimeout,
    /// Nothing listens at the origin's address.
    ConnectionRefused,
    /// No connection within the connect timeout, TLS included.
    ConnectionTimeout,
    /// The connection ended before an answer.
    ConnectionTerminated,
    /// This node has no sockets or places left, or the origin as many connections as it may; it is not at fault.
    ConnectionLimit,
    /// There is no way from this node to the origin's address.
    Unroutable,
    /// The origin's certificate is not one that this node trusts for this name.
    TlsCertificate,
    /// The origin does not speak TLS, or not a version that this node accepts.
    TlsProtocol,
    /// The origin refused this node in TLS, as when it wants a client certificate.
    TlsAlert,
    /// No complete head of an answer, or no further bytes of the body, within the response timeout.
    ResponseTimeout,
    /// What came is not HTTP.
    ResponseInvalid,
    /// The answer uses a transfer coding that was not asked for.
    ResponseCoding,
    /// The body ended before its end.
    ResponseIncomplete,
    /// The request cannot be sent as it is, or its own body failed; the viewer is at fault.
    RequestInvalid,
    /// The origin does not accept what this node is configured with: credentials, region, the name of a bucket, its clock.
    Configuration,
    /// This kind of origin cannot do what is asked, and was not asked: 405 for a method, 404 for what can have no name there.
    Denied(u16),
    /// The origin answered with a status that counts as a failure of this group.
    Status(u16),
    /// A rehearsal made the request fail; the origin was not asked.
    Injected(Injected),
}

/// What a rehearsal made of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Injected {
    /// As if the origin had answered with this status.
    Status(u16),
    /// As if its connection had ended.
    Reset,
    /// As if it had not answered in time.
    Late,
}

impl Failure {
    /// The error type of RFC 9209 section 2.3 for `Proxy-Status` and the log.
    ///
    /// A failing status is not an error type there; its word is `received_status`, which goes into the log only, while
    /// `Proxy-Status` says it in the parameter `received-status` (section 2.1.4).
    pub fn token(self) -> &'static str {
        match self {
            Self::DnsError => "dns_error",
            Self::DnsTimeout => "dns_timeout",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionLimit => "connection_limit_reached",
            Self::Unroutable => "destination_ip_unroutable",
            Self::TlsCertificate => "tls_certificate_error",
            Self::TlsProtocol => "tls_protocol_error",
            Self::TlsAlert => "tls_alert_received",
            Self::ResponseTimeout => "http_response_timeout",
            Self::ResponseInvalid => "http_protocol_error",
            Self::ResponseCoding => "http_response_transfer_coding",
            Self::ResponseIncomplete => "http_response_incomplete",
            Self::RequestInvalid => "http_request_error",
            Self::Configuration => "proxy_configuration_error",
            Self::Denied(_) => "http_request_denied",
            Self::Status(_) => "received_status",
            Self::Injected(_) => Self::INJECTED,
        }
    }

    /// The token of every failure that a rehearsal made, so that nobody takes it for the origin's.
    pub const INJECTED: &str = "fault-injected";

    /// The error type for `Proxy-Status`: the token, but for what no origin did.
    pub fn error_type(self) -> &'static str {
        match self {
            // RFC 9209 section 2.3: the answer was made here, without asking the origin.
            Self::Injected(_) => "proxy_internal_response",
            other => other.token(),
        }
    }

    /// What a group takes it for: a rehearsed failure counts like the one that it stands for.
    pub(crate) fn rehearsed(self) -> Self {
        match self {
            Self::Injected(Injected::Status(status)) => Self::Status(status),
            Self::Injected(Injected::Reset) => Self::ConnectionTerminated,
            Self::Injected(Injected::Late) => Self::ResponseTimeout,
            other => other,
        }
    }

    /// The status that RFC 9209 recommends for an answer made because of this; but 502 where it is this node's settings that the
    /// origin refuses, since 500 speaks of a fault in this program.
    pub fn status(self) -> StatusCode {
        match self {
            Self::DnsTimeout | Self::ConnectionTimeout | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ConnectionLimit => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestInvalid => StatusCode::BAD_REQUEST,
            Self::Denied(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Injected(Injected::Late) => StatusCode::GATEWAY_TIMEOUT,
            Self::Injected(Injected::Status(status)) => {
                StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the origin had any work, unless more is known: none where it never heard of the request.
    fn work(self) -> Work {
        match self {
            Self::DnsError
            | Self::DnsTimeout
            | Self::ConnectionRefused
            | Self::ConnectionTimeout
            | Self::Unroutable => Work::Nothing,
            _ => Work::Something,
        }
    }

    /// Whether a second connection attempt has a chance.
    pub(crate) fn may_pass(self) -> bool {
        matches!(
            self,
            Self::DnsTimeout | Self::ConnectionRefused | Self::ConnectionTimeout | Self::ConnectionTerminated
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(formatter, "status {status}"),
            other => formatter.write_str(other.token()),
        }
    }
}

/// What an origin had to do for a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// No connection came about.
    Nothing,
    Something,
}

/// A failure with what the library below said about it, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) failure: Failure,
    pub(crate) detail: String,
    pub(crate) work: Work,
}

impl Cause {
    pub(crate) fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into(), work: failure.work() }
    }

    /// The same of an origin that had begun to work for the connection.
    pub(crate) fn with_work(self) -> Self {
        Self { work: Work::Something, ..self }
    }

    /// No head of an answer came in time.
    pub(crate) fn silent(limit: Duration) -> Self {
        Self::new(Failure::ResponseTimeout, format!("no head of an answer for {limit:?}"))
    }

    /// What a failed TCP connection attempt means.
    pub(crate) fn of_connect(error: &io::Error) -> Self {
        Self::new(connect_failure(error), error.to_string())
    }

    /// What a failed TLS handshake means.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        let failure = match find::<rustls::Error>(error) {
            Some(error) => tls_failure(error),
            None => Failure::ConnectionTerminated,
        };
        Self::new(failure, story(error))
    }

    /// What an error means that came instead of the head of an answer.
    pub(crate) fn of_exchange(error: &hyper::Error) -> Self {
        let failure = if let Some(error) = find::<rustls::Error>(error) {
            tls_failure(error)
        } else if error.is_user() {
            Failure::RequestInvalid
        } else if error.is_incomplete_message()
            || error.is_canceled()
            || error.is_closed()
            || find::<io::Error>(error).is_some()
        {
            Failure::ConnectionTerminated
        } else {
            Failure::ResponseInvalid
        };
        Self::new(failure, story(error))
    }

    /// What an error in the middle of a body means. Malformed chunks are told apart from a body that just ended.
    pub(crate) fn of_body(error: &hyper::Error) -> Self {
        let kind = find::<io::Error>(error).map(io::Error::kind);
        let failure = match kind {
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Failure::ResponseInvalid,
            _ => Failure::ResponseIncomplete,
        };
        Self::new(failure, story(error))
    }
}

fn connect_failure(error: &io::Error) -> Failure {
    /// `ENFILE` and `EMFILE`, which std has no kind for.
    const OUT_OF_FILES: [i32; 2] = [23, 24];
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
        io::ErrorKind::TimedOut => Failure::ConnectionTimeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Failure::ConnectionTerminated,
        _ if error.raw_os_error().is_some_and(|code| OUT_OF_FILES.contains(&code)) => {
            Failure::ConnectionLimit
        }
        // Also where this machine has no address of the family, or no port left towards this one: another origin may have both.
        _ => Failure::Unroutable,
    }
}

fn tls_failure(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::InvalidCertRevocationList(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::UnsupportedNameType => Failure::TlsCertificate,
        rustls::Error::AlertReceived(_) => Failure::TlsAlert,
        _ => Failure::TlsProtocol,
    }
}

/// The first error of type `E` among `error` and what caused it.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(<dyn Error>::downcast_ref)
}

/// The whole chain in one line, each link said once.
fn story(error: &(dyn Error + 'static)) -> String {
    let mut story = String::new();
    for text in causes(error).map(ToString::to_string) {
        if story.contains(&text) {
            continue;
        }
        if !story.is_empty() {
            story.push_str(": ");
        }
        story.push_str(&text);
    }
    story
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // The source of a wrapping io::Error is the source of what it wraps, which would skip the wrapped error itself.
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_certificate_error_is_found_below_io_errors() {
        let inner = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        let cause = Cause::of_handshake(&error);
        assert_eq!(cause.failure, Failure::TlsCertificate);
        assert!(cause.detail.contains("UnknownIssuer"), "{}", cause.detail);
    }

    #[test]
    fn tls_failures_are_told_apart() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let version =
            rustls::Error::PeerIncompatible(rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig);
        for (error, failure) in [
            (alert, Failure::TlsAlert),
            (version, Failure::TlsProtocol),
            (rustls::Error::NoCertificatesPresented, Failure::TlsCertificate),
        ] {
            assert_eq!(Cause::of_handshake(&io::Error::other(error)).failure, failure);
        }
        let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(Cause::of_handshake(&ended).failure, Failure::ConnectionTerminated);
    }

    #[test]
    fn the_errors_of_connect_say_who_is_at_fault() {
        for (code, failure) in [
            (111, Failure::ConnectionRefused),
            (110, Failure::ConnectionTimeout),
            (104, Failure::ConnectionTerminated),
            (99, Failure::Unroutable),
            (24, Failure::ConnectionLimit),
            (113, Failure::Unroutable),
            (101, Failure::Unroutable),
        ] {
            assert_eq!(
                Cause::of_connect(&io::Error::from_raw_os_error(code)).failure,
                failure,
                "errno {code}"
            );
        }
    }

    #[test]
    fn late_answers_are_504_and_broken_ones_502() {
        for late in [Failure::DnsTimeout, Failure::ConnectionTimeout, Failure::ResponseTimeout] {
            assert_eq!(late.status(), 504, "{late}");
        }
        for broken in
            [Failure::DnsError, Failure::ConnectionRefused, Failure::TlsCertificate, Failure::ResponseInvalid]
        {
            assert_eq!(broken.status(), 502, "{broken}");
        }
        assert_eq!(Failure::RequestInvalid.status(), 400);
        assert_eq!(Failure::Status(503).to_string(), "status 503");
    }
}
