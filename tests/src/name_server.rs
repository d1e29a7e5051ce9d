//! A scripted name server: real UDP, answers and failures that a story changes, and a record of all it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::within;

/// What it says to a question.
#[derive(Debug, Clone)]
pub enum Said {
    /// These records, for so many seconds.
    Records(Vec<RData>, u32),
    /// The name is there, but has no such record.
    Nothing,
    /// There is no such name.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
}

impl Said {
    /// Addresses of the family that is asked for, for so many seconds.
    ///
    /// # Panics
    /// When one is no address.
    #[must_use]
    pub fn addresses(addresses: &[&str], ttl: u32) -> Self {
        let record = |text: &&str| match text.parse().expect("this is no address") {
            std::net::IpAddr::V4(address) => RData::A(A(address)),
            std::net::IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        Self::Records(addresses.iter().map(record).collect(), ttl)
    }

    /// Machines that offer a service: priority, weight, port and name of each; for so many seconds.
    ///
    /// # Panics
    /// When one is no name.
    #[must_use]
    pub fn service(machines: &[(u16, u16, u16, &str)], ttl: u32) -> Self {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            RData::SRV(SRV::new(
                *priority,
                *weight,
                *port,
                Name::from_ascii(target).expect("this is no name"),
            ))
        };
        Self::Records(machines.iter().map(record).collect(), ttl)
    }
}

/// A name server on 127.0.0.1. It knows no name until it is told one.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    script: Arc<Script>,
    answering: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Script {
    says: Mutex<HashMap<(String, RecordType), Said>>,
    asked: Mutex<HashMap<(String, RecordType), usize>>,
    changed: watch::Sender<()>,
}

impl NameServer {
    /// Answers on a free port.
    pub async fn start() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { address, script: Arc::default(), answering: None };
        server.restart().await;
        server
    }

    /// A free port where nobody answers until the server is restarted.
    pub async fn start_stopped() -> Self {
        let mut server = Self::start().await;
        server.stop().await;
        server
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it says this when it is asked for a record of this kind.
    pub fn say(&self, name: &str, kind: RecordType, said: Said) {
        self.script.says.lock().unwrap().insert((key(name), kind), said);
    }

    /// IPv4 addresses of a name that has no other, for so many seconds.
    pub fn say_v4(&self, name: &str, addresses: &[&str], ttl: u32) {
        self.say(name, RecordType::A, Said::addresses(addresses, ttl));
        self.say(name, RecordType::AAAA, Said::Nothing);
    }

    /// The same, whatever of a name it is asked for.
    pub fn say_of_all(&self, name: &str, said: &Said) {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::SRV] {
            self.say(name, kind, said.clone());
        }
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self, name: &str, kind: RecordType) -> usize {
        self.script.asked.lock().unwrap().get(&(key(name), kind)).copied().unwrap_or_default()
    }

    /// Waits until it was asked so often.
    pub async fn until_asked(&self, name: &str, kind: RecordType, times: usize) {
        let mut changed = self.script.changed.subscribe();
        within("the name server to be asked", async {
            while self.asked(name, kind) < times {
                changed.changed().await.expect("the server holds the sender");
            }
        })
        .await;
    }

    /// Nobody answers at its port any more.
    pub async fn stop(&mut self) {
        if let Some(answering) = self.answering.take() {
            answering.abort();
            let _ = answering.await;
        }
    }

    /// Answers again on the port that it had.
    pub async fn restart(&mut self) {
        let socket = UdpSocket::bind(self.address).await.expect("cannot listen");
        self.address = socket.local_addr().expect("a socket has an address");
        self.answering = Some(tokio::spawn(answer_all(socket, Arc::clone(&self.script))));
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if let Some(answering) = &self.answering {
            answering.abort();
        }
    }
}

async fn answer_all(socket: UdpSocket, script: Arc<Script>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
        if let Some(answer) = script.answer(&question) {
            let _ = socket.send_to(&answer.to_vec().expect("an answer can be written"), peer).await;
        }
    }
}

impl Script {
    fn answer(&self, question: &Message) -> Option<Message> {
        let query = question.queries.first()?;
        let asked = (key(&query.name().to_ascii()), query.query_type());
        *self.asked.lock().unwrap().entry(asked.clone()).or_default() += 1;
        self.changed.send_replace(());
        let said = self.says.lock().unwrap().get(&asked).cloned().unwrap_or(Said::NoSuchName);
        let mut answer = Message::response(question.id, question.op_code);
        answer.add_query(query.clone());
        match said {
            Said::Silence => return None,
            Said::Failure => answer.metadata.response_code = ResponseCode::ServFail,
            Said::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
            Said::Nothing => {}
            Said::Records(records, ttl) => {
                let record = |data| Record::from_rdata(query.name().clone(), ttl, data);
                answer.add_answers(records.into_iter().map(record));
            }
        }
        Some(answer)
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
