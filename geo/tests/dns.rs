//! The DNS node over real sockets, asked with messages made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing helper fails its test

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use geo::{Answerer, CurrentAnswerer, DEMO_DATABASE, DnsSettings, GeoError, Locator};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, RecordType,
        rdata::opt::{ClientSubnet, EdnsCode, EdnsOption},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(10);

const SETTINGS: &str = r#"
    listen = "127.0.0.1:0"
    [steer."cdn.example.com"]
    ttl   = "45s"
    pools = { own = ["203.0.113.10", "2001:db8::10"], china = ["cname:example.china-cdn.test."], rest = ["203.0.113.99"] }
    rules = [{ country = ["CN"], pool = "china" }, { continent = ["AS"], pool = "own" }, { default = true, pool = "rest" }]
    [steer."same.example.com"]
    pools = { own = ["203.0.113.30"] }
    rules = [{ default = true, pool = "own" }]
    [steer."spread.example.com"]
    pools = { a = ["203.0.113.1"], b = ["203.0.113.2"] }
    rules = [{ default = true, weights = { a = 75, b = 25 } }]
"#;

/// A DNS node that runs until it is stopped.
struct Node {
    address: SocketAddr,
    current: CurrentAnswerer,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), GeoError>>,
}

impl Node {
    async fn start(settings: &str) -> Self {
        let bound = Answerer::bind(&toml::from_str(settings).unwrap(), locator()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, current) = (bound.local_addresses()[0], bound.current());
        let task = tokio::spawn(bound.run(async move { drop(stopped.await) }));
        Self { address, current, stop, task }
    }

    /// The octets that answer `octets` over UDP.
    async fn udp(&self, octets: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(octets, self.address).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let (length, _) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("no answer").unwrap();
        buffer[..length].to_vec()
    }

    async fn ask(&self, query: &Message) -> Message {
        Message::from_vec(&self.udp(&query.to_vec().unwrap()).await).unwrap()
    }

    /// Asks over one TCP connection, all queries at once (RFC 7766 section 6.2.1.1).
    async fn ask_tcp(&self, queries: &[Message]) -> Vec<Message> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        for query in queries {
            let octets = query.to_vec().unwrap();
            stream.write_u16(u16::try_from(octets.len()).unwrap()).await.unwrap();
            stream.write_all(&octets).await.unwrap();
        }
        let mut answers = Vec::new();
        for _ in queries {
            let length = timeout(PATIENCE, stream.read_u16()).await.expect("no answer").unwrap();
            let mut octets = vec![0; usize::from(length)];
            stream.read_exact(&mut octets).await.unwrap();
            answers.push(Message::from_vec(&octets).unwrap());
        }
        answers
    }
}

fn locator() -> Arc<Locator> {
    Arc::new(Locator::from_bytes(DEMO_DATABASE.to_vec()).unwrap())
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4_711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn with_edns(mut message: Message, payload: u16, subnet: Option<ClientSubnet>) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    edns.options_mut().options.extend(subnet.map(|subnet| (EdnsCode::Subnet, EdnsOption::Subnet(subnet))));
    message.edns = Some(edns);
    message
}

fn for_subnet(name: &str, kind: RecordType, subnet: &str) -> Message {
    with_edns(query(name, kind), 1_232, Some(ClientSubnet::from_str(subnet).unwrap()))
}

fn subnet(message: &Message) -> Option<ClientSubnet> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(*subnet),
        _ => None,
    }
}

fn answers(message: &Message) -> Vec<String> {
    message
        .answers
        .iter()
        .map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data))
        .collect()
}

#[tokio::test]
async fn chinese_and_korean_subnets_get_different_answers() {
    let node = Node::start(SETTINGS).await;
    let korean = ["cdn.example.com. 45 A 203.0.113.10"];
    let chinese = ["cdn.example.com. 45 CNAME example.china-cdn.test."];
    let cases: [(&str, RecordType, &[&str]); 6] = [
        ("192.0.2.0/24", RecordType::A, &korean),
        ("198.51.100.0/24", RecordType::A, &chinese),
        ("2001:db8:82::/48", RecordType::A, &korean),
        ("2001:db8:c0de:100::/56", RecordType::AAAA, &chinese),
        ("203.0.113.0/24", RecordType::A, &["cdn.example.com. 45 A 203.0.113.99"]),
        ("192.0.2.0/24", RecordType::AAAA, &["cdn.example.com. 45 AAAA 2001:db8::10"]),
    ];
    for (network, kind, expected) in cases {
        let sent = for_subnet("cdn.example.com.", kind, network);
        let over_udp = node.ask(&sent).await;
        let over_tcp = node.ask_tcp(std::slice::from_ref(&sent)).await.remove(0);
        assert_eq!(over_udp, over_tcp);
        assert_eq!(answers(&over_udp), expected, "{network}");
        assert_eq!(over_udp.metadata.id, 4_711);
        assert!(
            over_udp.metadata.authoritative
                && over_udp.metadata.recursion_desired
                && !over_udp.metadata.recursion_available
        );
        assert_eq!(over_udp.queries, sent.queries);
        let (asked, told) = (ClientSubnet::from_str(network).unwrap(), subnet(&over_udp).unwrap());
        assert_eq!((told.addr(), told.source_prefix()), (asked.addr(), asked.source_prefix()));
        assert_eq!(told.scope_prefix(), asked.source_prefix(), "the answer holds for the subnet only");
    }
}

#[tokio::test]
async fn an_answer_that_is_the_same_for_everybody_has_scope_zero() {
    let node = Node::start(SETTINGS).await;
    let cases = [
        ("same.example.com.", RecordType::A, ResponseCode::NoError),
        ("cdn.example.com.", RecordType::TXT, ResponseCode::NoError),
        ("cdn.example.com.", RecordType::SOA, ResponseCode::NoError),
        ("no.cdn.example.com.", RecordType::A, ResponseCode::NXDomain),
        ("example.org.", RecordType::A, ResponseCode::Refused),
    ];
    for (name, kind, code) in cases {
        let answer = node.ask(&for_subnet(name, kind, "192.0.2.0/24")).await;
        assert_eq!(answer.metadata.response_code, code, "{name}");
        assert_eq!(subnet(&answer), Some(ClientSubnet::new("192.0.2.0".parse().unwrap(), 24, 0)), "{name}");
    }
}

#[tokio::test]
async fn without_a_usable_subnet_the_resolver_itself_is_placed() {
    let node = Node::start(SETTINGS).await;
    // Loopback is nowhere, so the default rule holds.
    let expected = ["cdn.example.com. 45 A 203.0.113.99"];
    let plain = node.ask(&query("cdn.example.com.", RecordType::A)).await;
    assert_eq!(answers(&plain), expected);
    assert!(plain.edns.is_none(), "no OPT was asked for");
    let private = node.ask(&for_subnet("cdn.example.com.", RecordType::A, "0.0.0.0/0")).await;
    assert_eq!(answers(&private), expected);
    assert_eq!(subnet(&private), Some(ClientSubnet::new("0.0.0.0".parse().unwrap(), 0, 0)));
    let edns =
        node.ask(&with_edns(query("cdn.example.com.", RecordType::A), 4_096, None)).await.edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload()), (0, 1_232));
    assert!(edns.options().as_ref().is_empty());
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_ours_are_told_apart() {
    let node = Node::start(SETTINGS).await;
    let cases = [
        ("no.cdn.example.com.", RecordType::A, ResponseCode::NXDomain, true),
        ("cdn.example.com.", RecordType::TXT, ResponseCode::NoError, true),
        ("example.com.", RecordType::A, ResponseCode::Refused, false),
        ("example.org.", RecordType::A, ResponseCode::Refused, false),
        (".", RecordType::NS, ResponseCode::Refused, false),
    ];
    for (name, kind, code, ours) in cases {
        let answer = node.ask(&query(name, kind)).await;
        assert_eq!(
            (answer.metadata.response_code, answer.metadata.authoritative),
            (code, ours),
            "{name} {kind}"
        );
        assert!(answer.answers.is_empty(), "{name} {kind}");
        let soa: Vec<_> = answer
            .authorities
            .iter()
            .map(|record| (record.name.to_ascii(), record.record_type(), record.ttl))
            .collect();
        let expected =
            if ours { vec![("cdn.example.com.".to_owned(), RecordType::SOA, 45)] } else { Vec::new() };
        assert_eq!(soa, expected, "{name} {kind}");
    }
}

#[tokio::test]
async fn the_case_of_the_question_is_kept_in_the_answer() {
    let node = Node::start(SETTINGS).await;
    let answer = node.ask(&for_subnet("cDn.ExAmPlE.cOm.", RecordType::A, "192.0.2.0/24")).await;
    assert_eq!(answer.queries[0].name().to_ascii(), "cDn.ExAmPlE.cOm.");
    assert_eq!(answers(&answer), ["cDn.ExAmPlE.cOm. 45 A 203.0.113.10"]);
}

#[tokio::test]
async fn a_malformed_subnet_is_a_format_error() {
    let node = Node::start(SETTINGS).await;
    let cases: [(&str, &[u8]); 10] = [
        ("host bits", &[0, 1, 24, 0, 192, 0, 2, 1]),
        ("host bits in the last octet", &[0, 1, 20, 0, 192, 0, 0x1f]),
        ("prefix too long for IPv4", &[0, 1, 33, 0, 192, 0, 2, 1, 0]),
        ("prefix too long for IPv6", &[0, 2, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("another family", &[0, 3, 24, 0, 192, 0, 2]),
        ("too few octets", &[0, 1, 24, 0, 192, 0]),
        ("too many octets", &[0, 1, 24, 0, 192, 0, 2, 0]),
        ("a scope in a query", &[0, 1, 24, 24, 192, 0, 2]),
        ("cut short", &[0, 1, 24]),
        ("empty", &[]),
    ];
    for (fault, option) in cases {
        let octets = with_option(&query("cdn.example.com.", RecordType::A), option);
        let answer = Message::from_vec(&node.udp(&octets).await).unwrap();
        assert_eq!(
            (answer.metadata.id, answer.metadata.response_code),
            (4_711, ResponseCode::FormErr),
            "{fault}"
        );
        assert!(answer.answers.is_empty(), "{fault}");
    }
    let well_formed = with_option(&query("cdn.example.com.", RecordType::A), &[0, 1, 24, 0, 192, 0, 2]);
    assert_eq!(
        answers(&Message::from_vec(&node.udp(&well_formed).await).unwrap()),
        ["cdn.example.com. 45 A 203.0.113.10"]
    );
}

/// The query with an OPT record that holds one client-subnet option, as octets.
fn with_option(query: &Message, option: &[u8]) -> Vec<u8> {
    let mut octets = query.to_vec().unwrap();
    let length = u8::try_from(option.len()).unwrap();
    octets[11] = 1; // ARCOUNT
    octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, length + 4, 0, 8, 0, length]);
    octets.extend(option);
    octets
}

#[tokio::test]
async fn what_is_not_understood_is_answered_with_its_code() {
    let node = Node::start(SETTINGS).await;
    let mut newer = with_edns(query("cdn.example.com.", RecordType::A), 1_232, None);
    newer.edns.as_mut().unwrap().set_version(1);
    let mut status = query("cdn.example.com.", RecordType::A);
    status.metadata.op_code = OpCode::Status;
    let mut update = query("cdn.example.com.", RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    let mut none = query("cdn.example.com.", RecordType::A);
    none.queries.clear();
    let mut two = query("cdn.example.com.", RecordType::A);
    two.add_query(Query::query(Name::from_ascii("same.example.com.").unwrap(), RecordType::A));
    let cases = [
        ("newer EDNS", newer, ResponseCode::BADVERS),
        ("status", status, ResponseCode::NotImp),
        ("update", update, ResponseCode::NotImp),
        ("no question", none, ResponseCode::FormErr),
        ("two questions", two, ResponseCode::FormErr),
        ("transfer", query("cdn.example.com.", RecordType::AXFR), ResponseCode::Refused),
    ];
    for (what, sent, code) in cases {
        let answer = node.ask(&sent).await;
        // Compared as numbers: 16 is BADVERS in OPT and BADSIG in TSIG (RFC 6895 section 2.3).
        assert_eq!(u16::from(answer.metadata.response_code), u16::from(code), "{what}");
        assert_eq!(answer.metadata.id, 4_711, "{what}");
        assert!(answer.answers.is_empty() && !answer.metadata.authoritative, "{what}");
        assert_eq!(answer.edns.is_some(), sent.edns.is_some(), "{what}");
    }
}

#[tokio::test]
async fn an_answer_too_large_for_the_datagram_is_cut_and_whole_over_tcp() {
    let pool: Vec<String> = (0..60).map(|host| format!("\"203.0.113.{host}\"")).collect();
    let node = Node::start(&format!(
        "listen = \"127.0.0.1:0\"\n[steer.\"big.example.com\"]\npools = {{ own = [{}] }}\nrules = [{{ default = true, pool = \"own\" }}]",
        pool.join(",")
    ))
    .await;
    // Header 12, question 21, a first record of 31 (its name is not yet compressed), 59 of 16, OPT 11: 1019 octets.
    let cases = [
        (None, true),
        (Some(0), true),
        (Some(512), true),
        (Some(1_018), true),
        (Some(1_019), false),
        (Some(1_232), false),
        (Some(4_096), false),
    ];
    for (payload, cut) in cases {
        let plain = query("big.example.com.", RecordType::A);
        let sent = match payload {
            Some(payload) => {
                with_edns(plain, 512, None).to_vec().map(|octets| with_payload(octets, payload)).unwrap()
            }
            None => plain.to_vec().unwrap(),
        };
        let octets = node.udp(&sent).await;
        let answer = Message::from_vec(&octets).unwrap();
        assert!(
            octets.len() <= usize::from(payload.unwrap_or(512).clamp(512, 1_232)),
            "{payload:?}: {} octets",
            octets.len()
        );
        assert_eq!(answer.metadata.truncation, cut, "{payload:?}");
        assert_eq!(answer.answers.len(), if cut { 0 } else { 60 }, "{payload:?}");
        assert_eq!(answer.edns.is_some(), payload.is_some(), "{payload:?}: OPT is never what is left out");
    }
    let whole = node.ask_tcp(&[query("big.example.com.", RecordType::A)]).await.remove(0);
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (60, false));
}

/// Sets the payload size in the OPT record that ends the message.
fn with_payload(mut octets: Vec<u8>, payload: u16) -> Vec<u8> {
    let class = octets.len() - 8;
    octets[class..class + 2].copy_from_slice(&payload.to_be_bytes());
    octets
}

#[tokio::test]
async fn one_tcp_connection_answers_many_queries() {
    let node = Node::start(SETTINGS).await;
    let queries: Vec<Message> = (0..50u16)
        .map(|id| {
            let network = if id % 2 == 0 { "192.0.2.0/24" } else { "198.51.100.0/24" };
            let mut message = for_subnet("cdn.example.com.", RecordType::A, network);
            message.metadata.id = id;
            message
        })
        .collect();
    for (answer, sent) in node.ask_tcp(&queries).await.iter().zip(&queries) {
        assert_eq!(answer.metadata.id, sent.metadata.id);
        let expected = if sent.metadata.id % 2 == 0 { RecordType::A } else { RecordType::CNAME };
        assert_eq!(answer.answers[0].record_type(), expected);
    }
}

#[tokio::test]
async fn rubbish_does_not_stop_the_node() {
    let node = Node::start(SETTINGS).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let good = for_subnet("cdn.example.com.", RecordType::A, "192.0.2.0/24").to_vec().unwrap();
    let mut seed = 99u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for round in 0..2_000 {
        let mut octets: Vec<u8> =
            if round % 2 == 0 { good.clone() } else { (0..random() % 80).map(|_| random() as u8).collect() };
        for _ in 0..random() % 4 {
            if !octets.is_empty() {
                let position = random() % octets.len();
                octets[position] = random() as u8;
            }
        }
        octets.truncate(octets.len() - random() % 3 * octets.len() / 5);
        socket.send_to(&octets, node.address).await.unwrap();
        if round % 50 == 0 {
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            drop(stream.write_all(&octets).await);
            assert_eq!(
                answers(&node.ask(&Message::from_vec(&good).unwrap()).await).len(),
                1,
                "after round {round}"
            );
        }
    }
    assert!(!node.task.is_finished());
    let trailing = [good.clone(), vec![0; 3]].concat();
    assert_eq!(
        Message::from_vec(&node.udp(&trailing).await).unwrap().metadata.response_code,
        ResponseCode::FormErr
    );
    assert_eq!(
        Message::from_vec(&node.udp(&good[..20]).await).unwrap().metadata.response_code,
        ResponseCode::FormErr
    );
}

#[tokio::test]
async fn a_response_is_never_answered() {
    let node = Node::start(SETTINGS).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut reflected = query("cdn.example.com.", RecordType::A);
    reflected.metadata.message_type = MessageType::Response;
    socket.send_to(&reflected.to_vec().unwrap(), node.address).await.unwrap();
    let mut sent = query("cdn.example.com.", RecordType::A);
    sent.metadata.id = 1;
    socket.send_to(&sent.to_vec().unwrap(), node.address).await.unwrap();
    let mut buffer = [0; 1_232];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(
        Message::from_vec(&buffer[..length]).unwrap().metadata.id,
        1,
        "the first answer is to the query"
    );
}

#[tokio::test]
async fn weights_hold_over_many_subnets_and_each_keeps_its_answer() {
    let node = Node::start(SETTINGS).await;
    let mut first = 0;
    for network in 0..1_000u32 {
        let subnet = format!("10.{}.{}.0/24", network / 256, network % 256);
        let sent = for_subnet("spread.example.com.", RecordType::A, &subnet);
        let answer = node.ask(&sent).await;
        if network % 100 == 0 {
            assert_eq!(answers(&node.ask(&sent).await), answers(&answer), "{subnet}");
            assert_eq!(self::subnet(&answer).unwrap().scope_prefix(), 24);
        }
        first += u32::from(
            matches!(&answer.answers[0].data, RData::A(address) if IpAddr::from(address.0) == IpAddr::from([203, 0, 113, 1])),
        );
    }
    assert!((700..800).contains(&first), "{first} of 1000 subnets have the pool of weight 75");
}

#[tokio::test]
async fn a_reload_changes_the_answers_of_open_sockets() {
    let node = Node::start(SETTINGS).await;
    let sent = for_subnet("cdn.example.com.", RecordType::A, "198.51.100.0/24");
    assert_eq!(node.ask(&sent).await.answers[0].record_type(), RecordType::CNAME);
    let settings: DnsSettings = toml::from_str(&SETTINGS.replace("[\"CN\"]", "[\"JP\"]")).unwrap();
    node.current.replace(Answerer::new(&settings, locator()).unwrap());
    assert_eq!(answers(&node.ask(&sent).await), ["cdn.example.com. 45 A 203.0.113.10"]);
}

#[tokio::test]
async fn queries_that_arrived_before_the_shutdown_are_answered() {
    let node = Node::start(SETTINGS).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for id in 0..100 {
        let mut sent = query("cdn.example.com.", RecordType::A);
        sent.metadata.id = id;
        socket.send_to(&sent.to_vec().unwrap(), node.address).await.unwrap();
    }
    node.stop.send(()).unwrap();
    let mut buffer = [0; 1_232];
    for _ in 0..100 {
        timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer is missing").unwrap();
    }
    timeout(PATIENCE, node.task).await.unwrap().unwrap().unwrap();
    // The port is free again, for both.
    UdpSocket::bind(node.address).await.unwrap();
    tokio::net::TcpListener::bind(node.address).await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_an_error() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    for listen in
        [format!("127.0.0.1:{port}"), "127.0.0.1".to_owned(), "127.0.0.1:99999".to_owned(), String::new()]
    {
        let settings = DnsSettings { listen: listen.clone(), ..DnsSettings::default() };
        let error = Answerer::bind(&settings, locator()).await.err().unwrap().to_string();
        assert!(error.contains(&format!("cannot listen for DNS on {listen:?}")), "{error}");
    }
}
