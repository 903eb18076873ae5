//! What a function is given and gives in one release, and what is wanted of it.
//!
//! Signatures are those of the Go sources of each release. Chosen are functions too large to be inlined, and called once for what
//! they stand for: `(*Conn).clientHandshake` and not `HandshakeContext`, which every read calls.

mod connection;
mod http;
mod modules;
mod program;
mod resolver;

use super::convention::{self, Slot};
use super::entry::Site;
use super::fields::Fields;
use super::function::Function;
use super::recipe::{Kind, Moment, Recipe, Start, What};
use crate::golang::Processor;

/// A part of a parameter or a result: which one, and how many words and bytes into it. The two differ where it has smaller fields.
#[derive(Debug, Clone, Copy)]
struct Part {
    slot: usize,
    word: u8,
    byte: u16,
}

impl Part {
    fn place(self, slots: &[Start]) -> Option<Start> {
        match slots.get(self.slot)? {
            Start::Register(first) => Some(Start::Register(first.checked_add(self.word)?)),
            Start::Stack(at) => Some(Start::Stack(at.checked_add(self.byte)?)),
            Start::Kept(_) => None,
        }
    }
}

const fn whole(slot: usize) -> Part {
    Part { slot, word: 0, byte: 0 }
}

/// Its second word: how long a slice is, or what an interface holds.
const fn second(slot: usize) -> Part {
    Part { slot, word: 1, byte: 8 }
}

/// Of what a value is read.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// A parameter, at the entry.
    Given(Part),
    /// A result, at the return.
    Returned(Part),
    /// A parameter, at the return.
    Kept(Part),
}

/// A value.
#[derive(Debug, Clone)]
struct Wanted {
    what: What,
    source: Source,
    offsets: Vec<u16>,
    kind: Kind,
}

fn given(what: What, part: Part, offsets: &[u16], kind: Kind) -> Wanted {
    Wanted { what, source: Source::Given(part), offsets: offsets.to_vec(), kind }
}

fn returned(what: What, part: Part, offsets: &[u16], kind: Kind) -> Wanted {
    Wanted { what, source: Source::Returned(part), offsets: offsets.to_vec(), kind }
}

fn kept(what: What, part: Part, offsets: &[u16], kind: Kind) -> Wanted {
    Wanted { what, source: Source::Kept(part), offsets: offsets.to_vec(), kind }
}

/// Whether this result, an error, is nil.
fn error(slot: usize) -> Wanted {
    returned(What::Error, whole(slot), &[], Kind::Interface)
}

/// The string that it may begin with.
fn error_text(slot: usize) -> Wanted {
    returned(What::ErrorText, second(slot), &[0], Kind::Text)
}

/// A function in one release.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) symbol: &'static str,
    pub(super) site: Site,
    parameters: Vec<Slot>,
    results: Vec<Slot>,
    wanted: Vec<Wanted>,
}

impl Shape {
    fn new(symbol: &'static str, parameters: &[Slot], results: &[Slot]) -> Shape {
        Shape {
            symbol,
            site: Site::Beginning,
            parameters: parameters.to_vec(),
            results: results.to_vec(),
            wanted: Vec::new(),
        }
    }

    /// Of the method of an interface that a function calls, with these parameters.
    fn of_method_call(symbol: &'static str, parameters: &[Slot]) -> Shape {
        Shape { site: Site::MethodCall, ..Shape::new(symbol, parameters, &[]) }
    }

    fn reads(self, wanted: impl IntoIterator<Item = Wanted>) -> Shape {
        Shape { wanted: self.wanted.into_iter().chain(wanted).collect(), ..self }
    }

    /// Its recipes on this processor; what cannot be reached there is left out.
    pub(super) fn recipes(&self, processor: Processor) -> Vec<Recipe> {
        let (given, returned) = convention::places(processor, &self.parameters, &self.results);
        let recipe = |wanted: &Wanted| {
            let (moment, start) = match wanted.source {
                Source::Given(part) => (Moment::Entry, part.place(&given)?),
                Source::Returned(part) => (Moment::Return, part.place(&returned)?),
                Source::Kept(part) => match part.place(&given)? {
                    Start::Register(register) => (Moment::Return, Start::Kept(register)),
                    _ => return None,
                },
            };
            Recipe::new(wanted.what, moment, start, &wanted.offsets, wanted.kind)
        };
        self.wanted.iter().filter_map(recipe).collect()
    }
}

/// How Go 1.`minor` has the function; none where it has no such function.
pub(super) fn shape(function: Function, minor: u32, fields: &Fields) -> Option<Shape> {
    use Function::*;
    Some(match function {
        LookUp => resolver::look_up(fields),
        GoLookUp => resolver::go_look_up(minor, fields),
        Exchange => resolver::exchange(minor, fields),
        Dial => connection::dial(fields),
        DialOne => connection::dial_one(fields),
        Connect => connection::connect(fields),
        Handshake => connection::handshake(fields),
        RoundTrip => http::round_trip(),
        Http1 => http::http1(fields),
        Http2 => http::http2(minor, fields),
        Body1 => http::read("net/http.(*bodyEOFSignal).Read"),
        Close1 => http::close("net/http.(*bodyEOFSignal).Close"),
        Body2 if minor < 27 => http::read("net/http.http2transportResponseBody.Read"),
        Body2 => http::read("net/http/internal/http2.transportResponseBody.Read"),
        Close2 if minor < 27 => http::close("net/http.http2transportResponseBody.Close"),
        Close2 => http::close("net/http/internal/http2.transportResponseBody.Close"),
        Get => http::get(),
        Versions => modules::versions(minor),
        Latest => modules::latest(minor),
        Stat => modules::stat(minor),
        GoMod => modules::go_mod(minor),
        Zip => modules::zip(minor),
        LockVersion => modules::lock_version(minor),
        LookUpSum => modules::look_up_sum(),
        ReadSum => modules::read_sum(),
        Run => program::run(minor),
        Start => program::start(),
        SelectToolchain => return program::select_toolchain(minor),
        ExecToolchain => return program::exec_toolchain(minor),
        Log => program::log(minor),
    })
}
