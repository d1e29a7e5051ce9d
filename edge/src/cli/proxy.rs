//! `selvedge proxy`: a caching reverse proxy without a config file.

use std::net::{Ipv4Addr, TcpListener};

use origin_shield::{OriginUrl, OriginUrlError};

use super::Exit;
use super::run::{announce, failed};
use crate::config::{AdminListen, Config, Listen};
use crate::process::{self, Source};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where viewers connect: `:8080`, `127.0.0.1:8080` or `https://127.0.0.1:8443`
    #[arg(long, value_name = "ADDRESS", value_parser = Listen::from_argument)]
    from: Listen,
    /// The origin: `http://127.0.0.1:9000` or `127.0.0.1:9000`
    #[arg(long, value_name = "URL", value_parser = origin)]
    to: OriginUrl,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut config = Config::proxy(arguments.from, &arguments.to);
    config.node.admin = free_admin();
    match process::run(config, Source::Given, announce) {
        Ok(()) => Exit::Ok,
        Err(error) => failed(&error),
    }
}

fn origin(text: &str) -> Result<OriginUrl, OriginUrlError> {
    if text.contains("://") { text.parse() } else { format!("http://{text}").parse() }
}

/// The usual admin address, or another port if a node is there already: nobody has to choose one to try a second proxy.
fn free_admin() -> AdminListen {
    match AdminListen::default() {
        AdminListen::At(usual) if TcpListener::bind(usual).is_err() => {
            AdminListen::At((Ipv4Addr::LOCALHOST, 0).into())
        }
        usual => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_may_be_written_without_its_scheme() {
        assert_eq!(origin("127.0.0.1:9000"), origin("http://127.0.0.1:9000"));
        assert!(origin("ftp://127.0.0.1").is_err() && origin("").is_err());
    }

    #[test]
    fn the_admin_api_stays_on_loopback() {
        assert!(!free_admin().is_exposed());
    }
}
