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
/// Section 5: it must not be shorter, however many addresses share the time.
const SHORTEST_HEAD_START: Duration = Duration::from_millis(10);

/// How a race ended.
pub(super) struct Outcome {
    pub(super) result: io::Result<(TcpStream, SocketAddr)>,
    /// Those that failed, were overtaken by one that began later, or did not connect in time.
    pub(super) losers: Vec<SocketAddr>,
}

/// Tries `addresses` in order, and those that come `late` after them, so that each gets its turn before the deadline.
pub(super) async fn connect_any(
    algorithm: &Algorithm,
    addresses: Vec<SocketAddr>,
    late: impl Future<Output = Vec<SocketAddr>>,
    deadline: Instant,
) -> Outcome {
    let patience = deadline.saturating_duration_since(Instant::now());
    let mut waiting = VecDeque::from(addresses);
    let mut late = pin!(late);
    let mut may_come = true;
    let (mut racing, mut started, mut losers) = (JoinSet::new(), Vec::new(), Vec::new());
    let mut last_error = None;
    let mut next = Instant::now();
    loop {
        if (racing.is_empty() || next <= Instant::now())
            && let Some(address) = waiting.pop_front()
        {
            started.push(address);
            let connecting = socket::connect(address, algorithm.clone());
            racing.spawn(async move { (address, connecting.await) });
            next = Instant::now() + head_start(patience, started.len() + losers.len() + waiting.len());
        }
        if racing.is_empty() && !may_come {
            let nowhere = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Outcome { result: Err(last_error.unwrap_or_else(nowhere)), losers };
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
                    last_error = Some(more_telling(last_error, error));
                    // Section 5: the next one need not wait any longer.
                    next = Instant::now();
                }
                Err(error) => last_error = Some(io::Error::other(error)),
            },
            more = &mut late, if may_come => {
                may_come = false;
                waiting.extend(more);
            }
            () = sleep_until(next), if !waiting.is_empty() => {}
            () = sleep_until(deadline) => {
                losers.extend(started);
                let error = last_error.filter(|_| racing.is_empty());
                return Outcome { result: Err(error.unwrap_or(io::ErrorKind::TimedOut.into())), losers };
            }
        }
    }
}

/// No address waits so long behind silent ones that its own turn never comes.
fn head_start(patience: Duration, addresses: usize) -> Duration {
    let share = patience / u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    share.clamp(SHORTEST_HEAD_START, HEAD_START)
}

/// That this machine speaks no IPv6 says nothing about an origin whose other address refused.
fn more_telling(before: Option<io::Error>, error: io::Error) -> io::Error {
    match before {
        Some(before) if error.kind() == io::ErrorKind::AddrNotAvailable => before,
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Cause, Failure};
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    async fn connect_any(
        algorithm: &Algorithm,
        addresses: Vec<SocketAddr>,
        late: impl Future<Output = Vec<SocketAddr>>,
    ) -> Outcome {
        super::connect_any(algorithm, addresses, late, Instant::now() + Duration::from_secs(10)).await
    }

    /// Nobody accepts there, and no more can wait: who asks for a connection hears nothing.
    async fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, mut waiting) = (listener.local_addr().unwrap(), Vec::new());
        while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        (address, listener, waiting)
    }

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

    #[tokio::test]
    async fn an_address_behind_silent_ones_gets_its_turn_before_the_deadline() {
        let (first, second) = (silent().await, silent().await);
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = vec![first.0, second.0, alive.local_addr().unwrap()];
        let deadline = Instant::now() + Duration::from_millis(300);
        let outcome = super::connect_any(&Algorithm::default(), addresses, nothing(), deadline).await;
        assert_eq!(outcome.result.unwrap().1, alive.local_addr().unwrap());
        assert_eq!(outcome.losers, [first.0, second.0]);
    }

    #[tokio::test]
    async fn addresses_that_are_silent_until_the_deadline_have_lost() {
        let (refused, silent) = (refused().await, silent().await);
        let deadline = Instant::now() + Duration::from_millis(100);
        let addresses = vec![refused, silent.0];
        let outcome = super::connect_any(&Algorithm::default(), addresses, nothing(), deadline).await;
        assert_eq!(outcome.result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(outcome.losers, [refused, silent.0]);
    }

    #[test]
    fn the_head_start_is_shorter_where_many_addresses_share_the_time() {
        let milliseconds = Duration::from_millis;
        for (patience, addresses, expected) in [(3000, 2, 250), (250, 2, 125), (3000, 30, 100), (100, 64, 10)]
        {
            assert_eq!(head_start(milliseconds(patience), addresses), milliseconds(expected));
        }
    }

    #[test]
    fn that_there_is_no_such_family_here_does_not_hide_what_another_address_said() {
        let error = |code| io::Error::from_raw_os_error(code);
        const REFUSED: i32 = 111;
        const NOT_AVAILABLE: i32 = 99;
        for (before, then, said) in [
            (Some(REFUSED), NOT_AVAILABLE, REFUSED),
            (Some(NOT_AVAILABLE), REFUSED, REFUSED),
            (None, NOT_AVAILABLE, NOT_AVAILABLE),
        ] {
            assert_eq!(more_telling(before.map(error), error(then)).raw_os_error(), Some(said));
        }
    }
}
