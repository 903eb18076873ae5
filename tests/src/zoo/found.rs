//! Words about a finding.

use nix::unistd::Pid;
use serde_json::{Value, json};

use super::Answer;
use super::row::Blame;

/// A finding. Each word is an expectation; one that is not met ends the test and shows everything that was found. Of a command that has
/// ended without gmtrace nothing was found, and nothing is expected.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    told: Option<(&'a Value, &'a Answer)>,
}

impl<'a> Found<'a> {
    /// What nobody looked at.
    pub(super) const UNSEEN: Self = Self { told: None };

    pub(super) fn new(finding: &'a Value, answer: &'a Answer) -> Self {
        Self { told: Some((finding, answer)) }
    }

    /// A word about how it is told, and not about the culprit.
    fn is(self, what: &str, expected: &str) -> Self {
        if let Some((finding, answer)) = self.told {
            let given = &finding[what];
            assert!(
                given == expected,
                "{what}: expected {expected}, given {given}, in\n{answer:#}"
            );
        }
        self
    }

    /// A word about the culprit: what is expected, and what `read` finds, which is right or not.
    fn blames(
        self,
        what: &'static str,
        expected: impl ToString,
        read: impl FnOnce(&Value) -> (Value, bool),
    ) -> Self {
        if let Some((finding, answer)) = self.told {
            let ((given, right), expected) = (read(finding), expected.to_string());
            let wrong = format!("{what}: expected {expected}, given {given}");
            if let Some((place, go)) = answer.place() {
                place.blame(finding, go, Blame { what, expected, given, right });
            }
            assert!(right, "{wrong}, in\n{answer:#}");
        }
        self
    }

    /// A value at a place of the finding.
    fn at(self, what: &'static str, place: &str, expected: impl Into<Value>) -> Self {
        let expected = expected.into();
        self.blames(what, word(&expected), |finding| {
            let given = finding.pointer(place).cloned().unwrap_or_default();
            let right = given == expected;
            (given, right)
        })
    }

    /// Expects more where gmtrace has watched from the start.
    pub fn by_launch(self, more: impl FnOnce(Self) -> Self) -> Self {
        match self.told {
            Some((_, answer)) if answer.timeline["mode"] == "launch" => more(self),
            _ => self,
        }
    }

    /// Expects more where gmtrace has come when it hung already.
    pub fn by_attach(self, more: impl FnOnce(Self) -> Self) -> Self {
        match self.told {
            Some((_, answer)) if answer.timeline["mode"] == "attach" => more(self),
            _ => self,
        }
    }

    /// `module-proxy`, `sumdb`, `resolver`, ...
    pub fn role(self, role: &str) -> Self {
        self.at("role", "/role", role)
    }

    /// `stalled`, `slow`, `failed`, `notice`.
    pub fn state(self, state: &str) -> Self {
        self.is("state", state)
    }

    /// The code of the first link, where the chain has more than one.
    pub fn symptom(self, code: &str) -> Self {
        self.at("symptom", "/symptom", code)
    }

    /// `certain`, `likely`, `possible`.
    pub fn confidence(self, confidence: &str) -> Self {
        self.is("confidence", confidence)
    }

    /// The name of the other end.
    pub fn host(self, host: &str) -> Self {
        self.at("host", "/peer/host", host)
    }

    /// The address of the other end.
    pub fn address(self, address: &str) -> Self {
        self.at("address", "/peer/address", address)
    }

    /// The port of the other end.
    pub fn port(self, port: u16) -> Self {
        self.at("port", "/peer/port", port)
    }

    /// One of the modules that wait: `path@version`.
    pub fn module(self, module: &str) -> Self {
        self.blames("module", module, |finding| {
            let given = finding["modules"].clone();
            let right = list(&given).iter().any(|given| given == module);
            (given, right)
        })
    }

    /// The one module that waits, and no other.
    pub fn only_module(self, module: &str) -> Self {
        self.at("modules", "/modules", json!([module]))
    }

    /// The path of the lock.
    pub fn lock(self, path: impl AsRef<std::path::Path>) -> Self {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.at("lock", "/lock/path", path)
    }

    /// A process among the holders of the lock.
    pub fn holder(self, pid: Pid) -> Self {
        self.blames("holder", pid, |finding| {
            let held = |holder: &Value| holder["pid"] == pid.as_raw();
            let given = finding["lock"]["holders"].clone();
            let right = list(&given).iter().any(held);
            (given, right)
        })
    }

    /// The process that is named first among the holders.
    pub fn first_holder(self, pid: Pid) -> Self {
        self.at("holder", "/lock/holders/0/pid", pid.as_raw())
    }

    /// The one live holder of the lock.
    pub fn only_holder(self, pid: Pid) -> Self {
        self.blames("holder", pid, |finding| {
            let given = finding["lock"]["holders"].clone();
            let right =
                matches!(list(&given), [one] if one["pid"] == pid.as_raw() && one["alive"] == true);
            (given, right)
        })
    }

    /// The process that is blocked.
    pub fn process(self, pid: Pid) -> Self {
        self.at("process", "/blocked/pid", pid.as_raw())
    }

    /// The goroutine that is blocked.
    pub fn goroutine(self, id: u64) -> Self {
        self.at("goroutine", "/blocked/goid", id)
    }

    /// How many links the chain has.
    pub fn links(self, count: usize) -> Self {
        self.blames("links", count, |finding| {
            let given = list(&finding["chain"]).len();
            (json!(given), given == count)
        })
    }

    /// The process of a link of the chain, counted from 0, which is the command's.
    pub fn link(self, number: usize, pid: Pid) -> Self {
        self.at("link", &format!("/chain/{number}/pid"), pid.as_raw())
    }

    /// The path that is blocked.
    pub fn path(self, path: impl AsRef<std::path::Path>) -> Self {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.at("path", "/blocked/path", path)
    }

    /// A text anywhere in the finding: a summary, a fact, evidence, a remedy, a limit.
    pub fn says(self, text: &str) -> Self {
        self.blames("says", text, |finding| {
            let said = mentions(finding, text);
            (Value::from(if said { text } else { "not said" }), said)
        })
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text without its quotes.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether a text of `value` has `text` in it.
fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(items) => items.iter().any(|item| mentions(item, text)),
        Value::Object(map) => map.values().any(|item| mentions(item, text)),
        _ => false,
    }
}
