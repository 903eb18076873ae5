//! DNS messages: the question a resolver was asked, and its answer.
//!
//! Parts are read one by one with hickory-proto, so that a message of which only a beginning was
//! captured still gives its question, and a hostile one costs no more than its bounds:
//! [`LIMIT`] bytes, one question, [`RECORDS`] records, each name at most 255 bytes (RFC 1035 3.1).

use std::net::IpAddr;

use hickory_proto::op::{Header, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of a message that are looked at. Go offers 1232 over UDP (`net/dnsclient_unix.go`).
const LIMIT: usize = 4096;
/// Records of an answer that are looked at.
const RECORDS: usize = 64;
/// Addresses, and aliases, that are kept of an answer.
const KEPT: usize = 16;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// The message's id, which the answer repeats.
    pub id: u16,
    /// The name as sent, without the final dot; `.` is the root. Bytes that are not printable
    /// ASCII are written `\DDD`, as in zone files (RFC 1035 5.1).
    pub name: String,
    /// `A`, `AAAA`, `CNAME`; `TYPE64999` where the number has no name.
    pub qtype: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// The id of the question it answers.
    pub id: u16,
    /// The question, which servers repeat.
    pub question: Option<Question>,
    /// `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED`: IANA's names; `RCODE11` where there is none.
    pub rcode: String,
    /// The server left records out (TC); a resolver asks again over TCP.
    pub truncated: bool,
    /// A and AAAA records, the first 16.
    pub addresses: Vec<IpAddr>,
    /// Aliases passed on the way, the first 16.
    pub cnames: Vec<String>,
}

/// Reads a question from one datagram.
///
/// `None` if the bytes are no query, or end before its first question does.
#[must_use]
pub fn question(bytes: &[u8]) -> Option<Question> {
    let (header, mut decoder) = start(bytes, MessageType::Query)?;
    first_question(&header, &mut decoder)
}

/// Reads an answer from one datagram, as far as the bytes go.
///
/// `None` if the bytes are no response, or end inside the 12 bytes of its header.
#[must_use]
pub fn answer(bytes: &[u8]) -> Option<Answer> {
    let (header, mut decoder) = start(bytes, MessageType::Response)?;
    let question = first_question(&header, &mut decoder);
    let mut answer = Answer {
        id: header.metadata.id,
        rcode: rcode(header.metadata.response_code),
        truncated: header.metadata.truncation,
        addresses: Vec::new(),
        cnames: Vec::new(),
        question,
    };
    // The records begin where the question ends, so without it they cannot be found.
    if answer.question.is_some() || header.counts.queries == 0 {
        read_records(&header, &mut decoder, &mut answer);
    }
    Some(answer)
}

/// [`question`] of a message with TCP's length before it (RFC 1035 4.2.2).
#[must_use]
pub fn tcp_question(bytes: &[u8]) -> Option<Question> {
    question(after_length(bytes)?)
}

/// [`answer`] of a message with TCP's length before it (RFC 1035 4.2.2).
#[must_use]
pub fn tcp_answer(bytes: &[u8]) -> Option<Answer> {
    answer(after_length(bytes)?)
}

fn after_length(bytes: &[u8]) -> Option<&[u8]> {
    let (length, message) = bytes.split_first_chunk::<2>()?;
    Some(message.get(..usize::from(u16::from_be_bytes(*length))).unwrap_or(message))
}

fn start(bytes: &[u8], wanted: MessageType) -> Option<(Header, BinDecoder<'_>)> {
    let mut decoder = BinDecoder::new(bytes.get(..LIMIT).unwrap_or(bytes));
    let header = Header::read(&mut decoder).ok()?;
    (header.metadata.message_type == wanted).then_some((header, decoder))
}

fn first_question(header: &Header, decoder: &mut BinDecoder<'_>) -> Option<Question> {
    // RFC 9619: a query has exactly one question, and nothing sane sends more.
    if header.counts.queries != 1 {
        return None;
    }
    let query = Query::read(decoder).ok()?;
    let id = header.metadata.id;
    Some(Question { id, name: name(query.name()), qtype: qtype(query.query_type()) })
}

fn read_records(header: &Header, decoder: &mut BinDecoder<'_>, answer: &mut Answer) {
    for _ in 0..RECORDS.min(header.counts.answers.into()) {
        let Ok(record) = Record::read(decoder) else { return };
        match record.data {
            RData::A(address) => keep(&mut answer.addresses, || address.0.into()),
            RData::AAAA(address) => keep(&mut answer.addresses, || address.0.into()),
            RData::CNAME(alias) => keep(&mut answer.cnames, || name(&alias.0)),
            _ => {}
        }
    }
}

fn keep<T>(list: &mut Vec<T>, item: impl FnOnce() -> T) {
    if list.len() < KEPT {
        list.push(item());
    }
}

fn name(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => text,
    }
}

/// The name of a record type: `A`, `AAAA`; `TYPE64999` where the number has none.
#[must_use]
pub fn record_type(number: u16) -> String {
    qtype(RecordType::from(number))
}

fn qtype(qtype: RecordType) -> String {
    match qtype {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

/// The names of IANA's "DNS RCODEs", which `dig` prints too. Only the header's four bits: the
/// rest is in an OPT record, and no resolver fails for it.
fn rcode(code: ResponseCode) -> String {
    let name = match u16::from(code) {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        other => return format!("RCODE{other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Message, OpCode};
    use hickory_proto::rr::rdata;
    use proptest::prelude::*;

    /// What Go 1.26 sent for AAAA of proxy.example.com: RD, one question, one OPT of 1232 bytes.
    const GO_QUESTION: &[u8] = b"\x21\x9d\x01\0\0\x01\0\0\0\0\0\x01\
        \x05proxy\x07example\x03com\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";

    fn named(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn response(code: ResponseCode, addresses: u16) -> Vec<u8> {
        let mut message = Message::response(7, OpCode::Query);
        message.metadata.response_code = code;
        message.add_query(Query::query(named("proxy.example.com."), RecordType::A));
        let alias = RData::CNAME(rdata::CNAME(named("edge.example.com.")));
        message.add_answer(Record::from_rdata(named("proxy.example.com."), 60, alias));
        for i in 0..addresses {
            let [high, low] = i.to_be_bytes();
            let data = if i % 2 == 0 {
                RData::A(rdata::A::new(192, 0, high, low))
            } else {
                RData::AAAA(rdata::AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, i))
            };
            message.add_answer(Record::from_rdata(named("edge.example.com."), 60, data));
        }
        message.to_vec().unwrap()
    }

    #[test]
    fn the_question_go_asks() {
        let asked = question(GO_QUESTION).unwrap();
        assert_eq!((asked.id, &*asked.name, &*asked.qtype), (0x219d, "proxy.example.com", "AAAA"));
        assert_eq!(answer(GO_QUESTION), None, "a query is no answer");
        assert_eq!(question(&GO_QUESTION[..35]).as_ref(), Some(&asked), "its OPT record cut off");
        assert_eq!(question(&GO_QUESTION[..34]), None, "the question itself cut off");
    }

    #[test]
    fn an_answer_with_alias_and_addresses() {
        let got = answer(&response(ResponseCode::NoError, 2)).unwrap();
        assert_eq!(got.question.unwrap().qtype, "A");
        assert_eq!((got.id, &*got.rcode, got.truncated), (7, "NOERROR", false));
        assert_eq!(got.cnames, ["edge.example.com"]);
        let wanted: [IpAddr; 2] = ["192.0.0.0".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(got.addresses, wanted);
    }

    #[test]
    fn errors_have_the_names_dig_prints() {
        for (code, name) in [
            (ResponseCode::NXDomain, "NXDOMAIN"),
            (ResponseCode::ServFail, "SERVFAIL"),
            (ResponseCode::Refused, "REFUSED"),
        ] {
            assert_eq!(answer(&response(code, 0)).unwrap().rcode, name);
        }
    }

    #[test]
    fn a_cut_answer_gives_what_it_has() {
        let whole = response(ResponseCode::NoError, 2);
        let cut = answer(&whole[..whole.len() - 1]).unwrap();
        assert_eq!(cut.addresses.len(), 1);
        let header_only = answer(&whole[..12]).unwrap();
        assert_eq!((header_only.question, &*header_only.rcode), (None, "NOERROR"));
        assert_eq!(answer(&whole[..11]), None);
    }

    #[test]
    fn at_most_sixteen_addresses() {
        assert_eq!(answer(&response(ResponseCode::NoError, 60)).unwrap().addresses.len(), KEPT);
    }

    #[test]
    fn over_tcp_the_length_comes_first() {
        let message = response(ResponseCode::NoError, 1);
        let framed = [&u16::try_from(message.len()).unwrap().to_be_bytes(), &*message].concat();
        assert_eq!(tcp_answer(&framed), answer(&message));
        let framed = [&[0, GO_QUESTION.len() as u8], GO_QUESTION].concat();
        assert_eq!(tcp_question(&framed), question(GO_QUESTION));
        assert_eq!(tcp_answer(&[0]), None);
    }

    #[test]
    fn odd_names_stay_text() {
        let root = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\0\xfd\xe7\0\x01";
        let asked = question(root).unwrap();
        assert_eq!((&*asked.name, &*asked.qtype), (".", "TYPE64999"));
        let escape = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03a\x1b.\0\0\x01\0\x01";
        let asked = question(escape).unwrap();
        assert!(asked.name.is_ascii() && !asked.name.contains('\x1b'), "{}", asked.name);
    }

    #[test]
    fn a_pointer_to_itself_ends() {
        assert_eq!(question(b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01"), None);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            _ = question(&bytes);
            _ = tcp_question(&bytes);
        }

        #[test]
        fn any_records(count: u16, tail in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut bytes = b"\0\x07\x81\x80\0\0".to_vec();
            bytes.extend(count.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(tail);
            let got = answer(&bytes).unwrap();
            prop_assert!(got.addresses.len() <= KEPT && got.cnames.len() <= KEPT);
        }
    }
}
