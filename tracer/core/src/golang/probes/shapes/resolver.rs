//! Look-ups of names: src/net/lookup.go and src/net/dnsclient_unix.go.

use super::super::convention::{INTERFACE, NUMBER, POINTER, SLICE, Slot, TEXT};
use super::super::fields::{Fields, QUESTION_TYPE};
use super::{Kind, Part, Shape, Wanted, What};
use super::{error, error_text, given, returned, second, whole};

/// `dnsmessage.Name`: an array of 255 bytes, and how many are used.
const NAME: Slot = Slot { words: None, bytes: 256 };

/// `dnsmessage.Question`: a Name, a type and a class.
const QUESTION: Slot = Slot { words: None, bytes: 260 };

/// lookupIPAddr(r, ctx, network, host) ([]IPAddr, error)
pub(super) fn look_up(fields: &Fields) -> Shape {
    let results = [SLICE, INTERFACE];
    Shape::new("net.(*Resolver).lookupIPAddr", &[POINTER, INTERFACE, TEXT, TEXT], &results)
        .reads([given(What::Host, whole(3), &[], Kind::Text), addresses()])
        .reads(dns_error(1, fields))
}

/// goLookupIPCNAMEOrder(r, ctx, network, name, order, conf from 1.20) (addrs, cname, error)
pub(super) fn go_look_up(minor: u32, fields: &Fields) -> Shape {
    let parameters = [POINTER, INTERFACE, TEXT, TEXT, NUMBER, POINTER];
    let parameters = if minor < 20 { &parameters[..5] } else { &parameters };
    let results = [SLICE, NAME, INTERFACE];
    Shape::new("net.(*Resolver).goLookupIPCNAMEOrder", parameters, &results)
        .reads([given(What::Host, whole(3), &[], Kind::Text), addresses()])
        .reads(dns_error(2, fields))
}

/// exchange(r, ctx, server, question, timeout, useTCP, ad from 1.21) (Parser, Header, error)
pub(super) fn exchange(minor: u32, fields: &Fields) -> Shape {
    let parameters = [POINTER, INTERFACE, TEXT, QUESTION, NUMBER, NUMBER, NUMBER];
    let parameters = if minor < 21 { &parameters[..6] } else { &parameters };
    let (byte, word) = fields.answer_code;
    let header = Slot { words: Some(word + 1), bytes: byte + 2 };
    let code = Part { slot: 1, word, byte };
    let question_type = Part { slot: 3, word: 0, byte: QUESTION_TYPE };
    Shape::new("net.(*Resolver).exchange", parameters, &[fields.parser, header, INTERFACE]).reads([
        given(What::Server, whole(2), &[], Kind::Text),
        given(What::Host, whole(3), &[], Kind::Name),
        given(What::QuestionType, question_type, &[], Kind::Half),
        returned(What::AnswerCode, code, &[], Kind::Half),
        error(2),
    ])
}

/// How long the first result is.
fn addresses() -> Wanted {
    returned(What::Addresses, second(0), &[], Kind::Word)
}

/// A `*net.DNSError`, if it is one.
fn dns_error(slot: usize, fields: &Fields) -> [Wanted; 3] {
    let text = fields.dns_error;
    [
        error(slot),
        Wanted { offsets: vec![text], ..error_text(slot) },
        returned(What::ErrorHost, second(slot), &[text + 16], Kind::Text),
    ]
}
