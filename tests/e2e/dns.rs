//! The node as an authoritative DNS server: the answer depends on where the viewer is.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use tests::{LOOPBACK, Node, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

pub(crate) const CHINA: &str = "198.51.100.0";
pub(crate) const KOREA: &str = "192.0.2.0";

async fn node() -> Node {
    let places = concat!(env!("CARGO_MANIFEST_DIR"), "/../geo/fixtures/places.mmdb");
    let config = format!(
        r#"{LOOPBACK}
[site."www.test"]
origin = "http://127.0.0.1:9"

[geo]
database = ["{places}"]

[dns]
listen = "127.0.0.1:0"

[dns.steer."cdn.example.com"]
ttl = "30s"
pools = {{ own = ["203.0.113.10", "2001:db8::10"], china = ["cname:example.china-cdn.test."] }}
rules = [
  {{ country = ["CN"], pool = "china" }},
  {{ default = true, pool = "own" }},
]
"#
    );
    Node::start(&config).await
}

pub(crate) fn question(name: &str, kind: RecordType, subnet: Option<&str>) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    if let Some(subnet) = subnet {
        let address: IpAddr = subnet.parse().unwrap();
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, 24, 0)));
    }
    message.set_edns(edns);
    message
}

pub(crate) async fn ask_udp(address: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), address).await.unwrap();
    let mut buffer = [0; 4096];
    let length = within("an answer over UDP", socket.recv(&mut buffer)).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn ask_tcp(address: SocketAddr, message: &Message) -> Message {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let bytes = message.to_vec().unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let length = within("an answer over TCP", stream.read_u16()).await.unwrap();
    let mut answer = vec![0; usize::from(length)];
    within("the rest of the answer", stream.read_exact(&mut answer)).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

/// The answers as `TYPE data`, with their lifetime checked.
pub(crate) fn records(answer: &Message) -> Vec<String> {
    let shown = answer.answers.iter().map(|record| {
        assert_eq!(record.ttl, 30, "{record}");
        format!("{} {}", record.record_type(), record.data)
    });
    shown.collect()
}

#[tokio::test]
async fn the_subnet_of_the_viewer_decides_over_udp_and_tcp() {
    let node = node().await;
    let china = question("cdn.example.com.", RecordType::A, Some(CHINA));
    let korea = question("cdn.example.com.", RecordType::A, Some(KOREA));

    let over_udp = [ask_udp(node.dns(), &china).await, ask_udp(node.dns(), &korea).await];
    let over_tcp = [ask_tcp(node.dns(), &china).await, ask_tcp(node.dns(), &korea).await];

    for [china, korea] in [over_udp, over_tcp] {
        assert_eq!(records(&china), ["CNAME example.china-cdn.test."]);
        assert_eq!(records(&korea), ["A 203.0.113.10"]);
        assert!(china.metadata.authoritative && korea.metadata.authoritative);
    }
}

#[tokio::test]
async fn the_answer_says_for_which_subnet_it_holds() {
    let node = node().await;

    let answer = ask_udp(node.dns(), &question("cdn.example.com.", RecordType::A, Some(CHINA))).await;

    // RFC 7871 §7.2.1: family, address and source prefix come back; the scope says how far the answer holds.
    let edns = answer.edns.expect("RFC 6891: EDNS is answered with EDNS");
    let Some(EdnsOption::Subnet(subnet)) = edns.option(EdnsCode::Subnet) else {
        panic!("no subnet in {edns:?}")
    };
    assert_eq!((subnet.addr(), subnet.source_prefix()), (CHINA.parse::<IpAddr>().unwrap(), 24));
    assert!((1..=24).contains(&subnet.scope_prefix()), "{}", subnet.scope_prefix());
}

#[tokio::test]
async fn without_a_subnet_the_asking_resolver_counts_and_the_default_pool_answers() {
    let node = node().await;

    let answer = ask_udp(node.dns(), &question("cdn.example.com.", RecordType::A, None)).await;

    assert_eq!(records(&answer), ["A 203.0.113.10"]);
}

#[tokio::test]
async fn addresses_of_the_other_family_are_given_when_asked_for() {
    let node = node().await;

    let answer = ask_udp(node.dns(), &question("cdn.example.com.", RecordType::AAAA, Some(KOREA))).await;

    assert_eq!(records(&answer), ["AAAA 2001:db8::10"]);
}

#[tokio::test]
async fn names_know_no_case_and_other_types_have_no_data() {
    let node = node().await;

    let shouted = ask_udp(node.dns(), &question("CDN.Example.COM.", RecordType::A, Some(KOREA))).await;
    let text = ask_udp(node.dns(), &question("cdn.example.com.", RecordType::TXT, Some(KOREA))).await;

    assert_eq!(records(&shouted), ["A 203.0.113.10"]);
    assert_eq!((text.metadata.response_code, text.answers.len()), (ResponseCode::NoError, 0));
}

#[tokio::test]
async fn names_of_others_are_refused() {
    let node = node().await;

    let answer = ask_udp(node.dns(), &question("www.example.org.", RecordType::A, None)).await;

    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
    assert!(answer.answers.is_empty());
}

#[tokio::test]
async fn datagrams_that_are_no_questions_do_no_harm() {
    let node = node().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let whole = question("cdn.example.com.", RecordType::A, Some(CHINA)).to_vec().unwrap();

    socket.send_to(&[], node.dns()).await.unwrap();
    socket.send_to(&[0xff; 512], node.dns()).await.unwrap();
    for length in 0..whole.len() {
        socket.send_to(&whole[..length], node.dns()).await.unwrap();
    }
    let mut stream = TcpStream::connect(node.dns()).await.unwrap();
    stream.write_all(&[0xff; 4]).await.unwrap();
    drop(stream);

    let answer = ask_udp(node.dns(), &question("cdn.example.com.", RecordType::A, Some(KOREA))).await;
    assert_eq!(records(&answer), ["A 203.0.113.10"]);
}

#[tokio::test]
async fn no_mutation_of_a_question_silences_the_server() {
    let node = node().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let whole = question("cdn.example.com.", RecordType::A, Some(CHINA)).to_vec().unwrap();
    let mut random = fastrand::Rng::with_seed(20_261_121);

    for round in 0..20_000 {
        let mut mutated = whole.clone();
        for _ in 0..random.usize(1..=4) {
            let position = random.usize(0..mutated.len());
            mutated[position] = random.u8(..);
        }
        socket.send_to(&mutated, node.dns()).await.unwrap();
        if round % 500 == 0 {
            // Over TCP: a datagram may get lost in the flood.
            let answer = ask_tcp(node.dns(), &question("cdn.example.com.", RecordType::A, Some(KOREA))).await;
            assert_eq!(records(&answer), ["A 203.0.113.10"], "after round {round}");
        }
    }
}
