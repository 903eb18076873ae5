//! Calls of Go functions: their values, and which of them is inside which.

use super::probes::GoPoint;
use gmtrace_abi::golang::{Got, TEXT, UNREADABLE};
use gmtrace_core::golang::probes::{Function, Kind, What};
use gmtrace_core::units::{Fd, Pid};
use std::borrow::Cow;
use std::collections::HashMap;

/// Goroutines of which calls are remembered; then all are forgotten.
const GOROUTINES: usize = 16 * 1024;
/// Calls inside each other that are remembered.
const DEPTH: usize = 16;

/// A value that a probe read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A text; what is longer than is kept is cut off.
    Text {
        /// What is kept.
        bytes: Vec<u8>,
        /// Whether there was more.
        cut: bool,
    },
}

/// The values of one probe. Those that could not be read are not among them.
#[derive(Debug, Clone, Default)]
pub struct Values(Vec<(What, Value)>);

impl Values {
    /// What a record holds, by what its point says of it.
    pub fn read(known: &[(What, Kind)], values: &[Got], texts: &[[u8; TEXT]]) -> Values {
        let value = |(index, ((what, kind), got)): (usize, (&(What, Kind), &Got))| {
            if got.second & UNREADABLE != 0 {
                return None;
            }
            let value = match kind {
                Kind::Text | Kind::Name => {
                    let kept = usize::try_from(got.second).ok()?;
                    let bytes = texts.get(index)?.get(..kept)?.to_vec();
                    Value::Text { cut: got.word > got.second, bytes }
                }
                Kind::Byte => Value::Number(got.word & 0xff),
                Kind::Half => Value::Number(got.word & 0xffff),
                _ => Value::Number(got.word),
            };
            Some((*what, value))
        };
        Values(known.iter().zip(values).enumerate().filter_map(value).collect())
    }

    fn get(&self, what: What) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == what).map(|(_, value)| value)
    }

    /// A number.
    pub fn number(&self, what: What) -> Option<u64> {
        match self.get(what)? {
            Value::Number(number) => Some(*number),
            Value::Text { .. } => None,
        }
    }

    /// The bytes of a text.
    pub fn bytes(&self, what: What) -> Option<&[u8]> {
        match self.get(what)? {
            Value::Text { bytes, .. } => Some(bytes),
            Value::Number(_) => None,
        }
    }

    /// A text.
    pub fn text(&self, what: What) -> Option<Cow<'_, str>> {
        self.bytes(what).map(String::from_utf8_lossy)
    }

    /// Whether a text was longer than what is kept of it.
    pub fn is_cut(&self, what: What) -> bool {
        matches!(self.get(what), Some(Value::Text { cut: true, .. }))
    }

    /// A descriptor, where the two ways to it lead to the same.
    pub fn descriptor(&self, what: What, again: What) -> Option<Fd> {
        let number = self.number(what)?;
        let is_one = self.number(again) == Some(number);
        i32::try_from(number).ok().filter(|_| is_one).map(Fd)
    }

    /// The errno of a call that failed in this operation.
    pub fn errno(&self, operations: &[&str]) -> Option<i32> {
        let failed = self.number(What::Error)? != 0;
        let operation = self.text(What::ErrorText)?;
        let errno = i32::try_from(self.number(What::Errno)?).ok()?;
        // errno(3): what is larger is none, so this was another error.
        (failed && operations.contains(&&*operation) && (1..4096).contains(&errno)).then_some(errno)
    }
}

/// A call that has begun.
#[derive(Debug, Clone)]
pub struct Open {
    point: u32,
    depth: u64,
    /// When it began, on CLOCK_MONOTONIC.
    pub since: u64,
    /// The function.
    pub function: Function,
    /// What was read at its entry.
    pub values: Values,
}

/// The calls that have begun, by process and goroutine.
#[derive(Debug, Default)]
pub struct Calls(HashMap<(Pid, u64), Vec<Open>>);

impl Calls {
    /// A call begins. What is as deep on the stack, or deeper, has ended in a panic.
    pub fn begins(
        &mut self,
        goroutine: (Pid, u64),
        (point, depth): (u32, u64),
        since: u64,
        known: &GoPoint,
        values: Values,
    ) {
        if self.0.len() >= GOROUTINES {
            self.0.clear();
        }
        let calls = self.0.entry(goroutine).or_default();
        calls.retain(|call| call.depth < depth);
        if calls.len() < DEPTH {
            calls.push(Open { point, depth, since, function: known.function, values });
        }
    }

    /// A call ends. Gives it back, if its beginning was seen.
    pub fn ends(&mut self, goroutine: (Pid, u64), (point, depth): (u32, u64)) -> Option<Open> {
        let calls = self.0.get_mut(&goroutine)?;
        let at = calls.iter().position(|call| call.point == point && call.depth == depth)?;
        let ended = calls.drain(at..).next();
        if calls.is_empty() {
            self.0.remove(&goroutine);
        }
        ended
    }

    /// The innermost call of a function that a goroutine is in.
    pub fn inside(&self, goroutine: (Pid, u64), function: Function) -> Option<&Open> {
        self.0.get(&goroutine)?.iter().rev().find(|call| call.function == function)
    }

    /// A process has ended, or is another program.
    pub fn forget(&mut self, process: Pid) {
        self.0.retain(|(pid, _), _| *pid != process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(function: Function) -> GoPoint {
        GoPoint { function, ends: true, entry: Vec::new(), at_return: Vec::new(), names: None }
    }

    #[test]
    fn calls_lie_in_each_other_and_a_panic_ends_those_that_are_deeper() {
        let (mut calls, me) = (Calls::default(), (Pid(1), 7));
        calls.begins(me, (0, 100), 1, &point(Function::RoundTrip), Values::default());
        calls.begins(me, (1, 200), 2, &point(Function::Connect), Values::default());
        assert!(calls.inside(me, Function::Connect).is_some());
        calls.begins(me, (2, 150), 3, &point(Function::DialOne), Values::default());
        assert!(calls.inside(me, Function::Connect).is_none(), "it was deeper");
        assert!(calls.ends(me, (0, 100)).is_some());
        assert!(calls.inside(me, Function::DialOne).is_none(), "it was inside");
        assert!(calls.ends(me, (0, 100)).is_none());
    }

    #[test]
    fn what_could_not_be_read_is_not_there() {
        let known = [(What::Host, Kind::Text), (What::Port, Kind::Word)];
        let got = [Got { word: 3, second: UNREADABLE }, Got { word: 443, second: 0 }];
        let values = Values::read(&known, &got, &[[b'x'; TEXT]; 2]);
        assert_eq!((values.bytes(What::Host), values.number(What::Port)), (None, Some(443)));
        let got = [Got { word: 3, second: 3 }, Got { word: 443, second: 0 }];
        let values = Values::read(&known, &got, &[[b'x'; TEXT]; 2]);
        assert_eq!(values.text(What::Host).as_deref(), Some("xxx"));
    }

    #[test]
    fn an_errno_is_one_only_of_the_operation_that_is_meant() {
        let known = [
            (What::Error, Kind::Interface),
            (What::ErrorText, Kind::Text),
            (What::Errno, Kind::Word),
        ];
        let number = |word| Got { word, second: 0 };
        let mut texts = [[0; TEXT]; 3];
        texts[1][..7].copy_from_slice(b"connect");
        let read = |errno| {
            let got = [number(1), Got { word: 7, second: 7 }, number(errno)];
            Values::read(&known, &got, &texts).errno(&["connect"])
        };
        assert_eq!(read(101), Some(101));
        assert_eq!(read(0xc000_0123_4000), None, "a pointer");
    }
}
