//! RFC 8305 section 5: one address after another, each with a head start; the first that connects wins.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::socket;
use crate::settings::Algorithm;

/// RFC 8305 section 8, "Connection Attempt Delay": how long one address is waited for before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// How a race ended.
pub(super) struct Outcome {
    pub(super) result: io::Result<(TcpStream, SocketAddr)>,
    /// Those that failed, or were overtaken by one that began later.
    pub(super) losers: Vec<SocketAddr>,
}

/// Tries `addresses` in order, and those that come `late` after them.
pub(super) async fn connect_any(
    algorithm: &Algorithm,
    addresses: Vec<SocketAddr>,
    late: impl Future<Output = Vec<SocketAddr>>,
) -> Outcome {
    let mut waiting = VecDeque::from(addresses);
    let mut late = pin!(late);
    let mut may_come = true;
    let (mut racing, mut started, mut losers) = (JoinSet::new(), Vec::new(), Vec::new());
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut next = Instant::now();
    loop {
        if (racing.is_empty() || next <= Instant::now())
            && let Some(address) = waiting.pop_front()
        {
            started.push(address);
            let connecting = socket::connect(address, algorithm.clone());
            racing.spawn(async move { (address, connecting.await) });
            next = Instant::now() + HEAD_START;
        }
        if racing.is_empty() && !may_come {
            return Outcome { result: Err(last_error), losers };
        }
        tokio::select! {
            Some(finished) = racing.join_next() => match finished {
                Ok((address, Ok(stream))) => {
                    losers.extend(started.into_iter().take_while(|other| *other != address));
                    return Outcome { result: Ok((stream, address)), losers };
                }
                Ok((address, Err(error))) => {
                    started.retain(|other| *other != address);
                    losers.push(address);
                    last_error = error;
                    // Section 5: the next one need not wait any longer.
                    next = Instant::now();
                }
                Err(error) => last_error = io::Error::other(error),
            },
            more = &mut late, if may_come => {
                may_come = false;
                waiting.extend(more);
            }
            () = sleep_until(next), if !waiting.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Cause, Failure};
    use tokio::net::TcpListener;

    async fn nothing() -> Vec<SocketAddr> {
        Vec::new()
    }

    async fn refused() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = alive.local_addr().unwrap();
        let dead = [refused().await, refused().await];
        let outcome = connect_any(&Algorithm::default(), vec![dead[0], dead[1], address], nothing()).await;
        assert_eq!(outcome.result.unwrap().1, address);
        assert_eq!(outcome.losers, dead);
    }

    #[tokio::test]
    async fn an_address_that_comes_late_is_tried_when_the_early_one_fails() {
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = alive.local_addr().unwrap();
        let late = async {
            tokio::task::yield_now().await;
            vec![address]
        };
        let outcome = connect_any(&Algorithm::default(), vec![refused().await], late).await;
        assert_eq!(outcome.result.unwrap().1, address);
    }

    /// Addresses for documentation (RFC 5737) lead nowhere: no refusal comes back, or at once that there is no way.
    #[tokio::test]
    async fn a_silent_address_loses_to_the_next_one() {
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let outcome =
            connect_any(&Algorithm::default(), vec![silent, alive.local_addr().unwrap()], nothing()).await;
        assert_eq!(outcome.result.unwrap().1, alive.local_addr().unwrap());
        assert_eq!(outcome.losers, [silent]);
    }

    #[tokio::test]
    async fn when_every_address_refuses_the_refusal_is_the_answer() {
        let outcome =
            connect_any(&Algorithm::default(), vec![refused().await, refused().await], nothing()).await;
        assert_eq!(Cause::of_connect(&outcome.result.unwrap_err()).failure, Failure::ConnectionRefused);
        assert_eq!(outcome.losers.len(), 2);
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_an_error_and_not_a_wait() {
        let outcome = connect_any(&Algorithm::default(), Vec::new(), nothing()).await;
        assert_eq!(outcome.result.unwrap_err().to_string(), "the name has no address");
    }
}
