//! Which algorithm decides how fast a connection sends: the sender's choice, and over a long distance the one that counts.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use socket2::{Domain, SockRef, Socket, Type};

/// `"auto"`, `"system"`, or the name of an algorithm that the kernel has, such as `"bbr"` or `"cubic"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Congestion {
    /// Between an edge and its shield BBR, where the kernel has it and lets this process use it; else as the system has it. What BBR
    /// gains over a distance it costs in processor time: packets leave one by one, each when its time has come.
    #[default]
    Auto,
    /// What the system uses for every program: `net.ipv4.tcp_congestion_control`.
    System,
    /// This one.
    Named(Arc<str>),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherEnd {
    /// A node of ours, an edge or a shield: likely far away.
    Node,
    /// A viewer, or an origin.
    Anybody,
}

/// An algorithm as the kernel lets this process use it; by default the system's own choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Algorithm(Option<Arc<str>>);

/// An algorithm was asked for that this kernel does not have, or not for this process.
#[derive(Debug, thiserror::Error)]
#[error(
    "congestion = {name:?} cannot be used ({cause}): the system's own choice stays in force; see net.ipv4.\
     tcp_available_congestion_control, and tcp_allowed_congestion_control for a process without CAP_NET_ADMIN"
)]
pub struct Refused {
    name: Arc<str>,
    #[source]
    cause: io::Error,
}

/// Why a text names no algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no congestion control: write \"auto\", \"system\", or a name such as \"bbr\" or \"cubic\""
)]
pub struct NoAlgorithm(String);

/// Bytes of a name in the kernel: `TCP_CA_NAME_MAX` less the zero that ends it.
const LONGEST: usize = 15;
const BEST: &str = "bbr";

impl Congestion {
    /// What this comes to here, tried on a socket that is thrown away. `Auto` never fails.
    ///
    /// # Errors
    /// The algorithm named is not there, or not for this process.
    pub fn resolve(&self, other_end: OtherEnd) -> Result<Algorithm, Refused> {
        match self {
            Self::System => Ok(Algorithm(None)),
            Self::Auto if other_end == OtherEnd::Anybody => Ok(Algorithm(None)),
            Self::Auto => Ok(Algorithm(attempt(BEST).is_ok().then(|| BEST.into()))),
            Self::Named(name) => match attempt(name) {
                Ok(()) => Ok(Algorithm(Some(name.clone()))),
                Err(cause) => Err(Refused { name: name.clone(), cause }),
            },
        }
    }

    fn word(&self) -> &str {
        match self {
            Self::Auto => "auto",
            Self::System => "system",
            Self::Named(name) => name,
        }
    }
}

impl Algorithm {
    /// Makes a TCP socket use it, and those that a listening socket accepts.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_on(&self, socket: &impl AsFd) -> io::Result<()> {
        match &self.0 {
            Some(name) => SockRef::from(socket).set_tcp_congestion(name.as_bytes()),
            None => Ok(()),
        }
    }
}

fn attempt(name: &str) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)
        .or_else(|_| Socket::new(Domain::IPV6, Type::STREAM, None))?;
    socket.set_tcp_congestion(name.as_bytes())
}

impl FromStr for Congestion {
    type Err = NoAlgorithm;

    fn from_str(text: &str) -> Result<Self, NoAlgorithm> {
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        match text {
            "auto" => Ok(Self::Auto),
            "system" => Ok(Self::System),
            name if (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_letter) => {
                Ok(Self::Named(name.into()))
            }
            other => Err(NoAlgorithm(other.to_owned())),
        }
    }
}

impl Serialize for Congestion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Congestion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Congestion;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a congestion control, as in \"bbr\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Congestion, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Congestion {
    fn schema_name() -> Cow<'static, str> {
        "Congestion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9_-]{1,15}$", "examples": ["auto", "system", "bbr", "cubic"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn named(name: &str) -> Congestion {
        Congestion::Named(name.into())
    }

    #[test]
    fn words_and_names_are_told_apart_and_print_back() {
        for (text, expected) in [
            ("auto", Congestion::Auto),
            ("system", Congestion::System),
            ("bbr", named("bbr")),
            ("dctcp-2", named("dctcp-2")),
        ] {
            let parsed: Congestion = text.parse().unwrap();
            assert_eq!((&parsed, parsed.word()), (&expected, text));
        }
        for text in ["", "BBR", "b b r", "a-name-that-is-too-long", "bbr\0"] {
            assert!(text.parse::<Congestion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_a_listening_socket_uses_its_connections_use_too() {
        // Reno is in every kernel, and every process may use it.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        named("reno").resolve(OtherEnd::Anybody).unwrap().set_on(&listener).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let used = |stream: &TcpStream| SockRef::from(stream).tcp_congestion().unwrap();
        assert_eq!(String::from_utf8(used(&far)).unwrap().trim_end_matches('\0'), "reno");
        drop(near);
    }

    #[test]
    fn an_algorithm_that_no_kernel_has_is_named_in_the_refusal() {
        let refused = named("no-such-thing").resolve(OtherEnd::Anybody).unwrap_err().to_string();
        assert!(refused.contains("\"no-such-thing\""), "{refused}");
        assert!(refused.contains("tcp_available_congestion_control"), "{refused}");
    }

    #[test]
    fn what_is_chosen_by_itself_is_for_other_nodes_only() {
        assert_eq!(Congestion::Auto.resolve(OtherEnd::Anybody).unwrap(), Algorithm(None));
        assert_eq!(Congestion::System.resolve(OtherEnd::Node).unwrap(), Algorithm(None));
        // What this kernel has is not known here.
        let chosen = Congestion::Auto.resolve(OtherEnd::Node).unwrap();
        assert!([Algorithm(None), Algorithm(Some(BEST.into()))].contains(&chosen), "{chosen:?}");
    }
}
