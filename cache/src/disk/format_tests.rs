use super::*;

fn record() -> Item {
    Item::Record(Record {
        key: Bytes::from_static(b"www\nhttps\nwww.example.com\n/a?b=c\n"),
        variant: 7,
        labels: vec![1, u64::MAX],
        meta: Bytes::from_static(b"200 text/plain"),
        body: Bytes::from_static(b"hello, world"),
    })
}

fn mark(reach: Reach, strength: Strength) -> Item {
    Item::Mark(Mark { reach, strength })
}

fn stale(second: u64) -> Strength {
    Strength::Stale(UNIX_EPOCH + Duration::from_secs(second))
}

fn items() -> Vec<Item> {
    let empty =
        Record { key: Bytes::new(), variant: 0, labels: Vec::new(), meta: Bytes::new(), body: Bytes::new() };
    let place = Place { name: 1, sequence: 2, variant: 3, offset: 4, length: 5, kind: Kind::Label };
    vec![
        record(),
        Item::Record(empty),
        mark(Reach::Label(42), stale(1_700_000_000)),
        mark(Reach::Prefix(Bytes::from_static(b"www\n")), Strength::Gone),
        mark(Reach::Prefix(Bytes::new()), stale(0)),
        Item::Index(Vec::new()),
        Item::Index(vec![place, Place { kind: Kind::Record, offset: u32::MAX, ..place }]),
    ]
}

fn encoded(item: &Item) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, 9, item).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read_again() {
    let mut bytes = Vec::new();
    let places: Vec<Place> =
        items().iter().zip(5..).map(|(item, sequence)| encode(&mut bytes, sequence, item).unwrap()).collect();
    let bytes = Bytes::from(bytes);
    for ((item, sequence), place) in items().into_iter().zip(5..).zip(places) {
        let from_here = bytes.slice(place.offset as usize..);
        assert_eq!(decode(&from_here), Ok((sequence, item)));
        let header = Header::decode(&from_here).unwrap();
        let said = (header.kind, header.sequence, header.name, header.variant, header.length);
        assert_eq!(said, (place.kind, place.sequence, place.name, place.variant, place.length));
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    for item in items() {
        let bytes = encoded(&item);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&changed.into()), Err(Damaged), "bit {bit} of {item:?}");
        }
    }
}

#[test]
fn every_missing_end_is_noticed() {
    for item in items() {
        let bytes = Bytes::from(encoded(&item));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes.slice(..length)), Err(Damaged), "{length} bytes of {item:?}");
        }
    }
}

#[test]
fn the_length_of_a_record_is_known_beforehand() {
    let item = record();
    let Item::Record(record) = &item else { unreachable!() };
    assert_eq!(record.length(), encoded(&item).len() as u64);
}

#[test]
fn a_tail_tells_where_the_index_is() {
    let tail = encode_tail(123_456);
    assert_eq!(decode_tail(&tail), Ok(123_456));
    for bit in 0..TAIL * 8 {
        let mut changed = tail;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode_tail(&changed), Err(Damaged), "bit {bit}");
    }
    assert_eq!(decode_tail(&tail[1..]), Err(Damaged));
}

#[test]
fn names_are_the_same_in_every_process() {
    // Written down once: another value makes everything on disk unfindable.
    assert_eq!(name_of(b""), 0x2d06_8005_38d3_94c2);
    assert_eq!(name_of(b"www\n"), name_of(b"www\n"));
    assert_ne!(name_of(b"www\n"), name_of(b"www"));
}
