//! What a Go process does, by its goroutines.

use crate::golang::{self, Reading, Unreadable, Value};
use crate::units::Tid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

pub use crate::golang::{Direction, Interrupted, Status, WaitsFor};

/// The most names of functions that are kept of one process, over all its goroutines.
const MAX_NAMES: usize = 50_000;

/// When those are used up, so many of a stack are kept still: where it waits.
const LEAST_NAMES: usize = 8;

/// The most sentences about what is missing.
const MAX_PARTIAL: usize = 16;

/// The goroutines of a process as they were read from its memory (`golang`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoRuntime {
    /// The Go that built the program, as `go1.26.8`; empty where that is not known.
    pub version: String,
    /// The living goroutines, at most 10,000.
    pub goroutines: Vec<Goroutine>,
    /// How many there are; more than are listed where that bound was met, and then dead ones are counted too.
    pub total: u64,
    /// The runtime's threads.
    pub threads: Vec<GoThread>,
    /// Why nothing could be read: a sentence without its end, about the process. None when it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// What is missing in what was read, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<String>,
}

/// A goroutine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Goroutine {
    /// Its number; 1 is the main goroutine.
    pub id: u64,
    /// What it does.
    pub status: Status,
    /// Why it waits, in the runtime's words: `select`, `IO wait`, `chan receive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_reason: Option<String>,
    /// Its thread, while it runs or is in a system call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tid: Option<Tid>,
    /// The descriptor it is parked for; only where stack and epoll set agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// The goroutine that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// The function that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Whether it belongs to Go's runtime and not to the program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub system: bool,
    /// Where it was interrupted, while it runs and has done nothing but run since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<Interrupted>,
    /// The functions on its stack, innermost first, inlined ones too; while it runs, those of where it was interrupted, or none.
    pub functions: Vec<String>,
    /// Whether the stack goes on beyond these functions, or could not be followed to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Arguments of functions that are known, innermost first, where they still held their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<GoCall>,
}

/// A call whose arguments say something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoCall {
    /// The function.
    pub function: String,
    /// Its arguments, credentials removed.
    pub arguments: Vec<GoArgument>,
}

/// An argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoArgument {
    /// `module`, `version`, `url`, `proxy`, `method`, `path`, `file`, `host`, `record`, `server`, `network`, `address`, `scheme`,
    /// `repository`, `toolchain`, `program`, `argv`, `directory`, `pid`, `fd`, `how`, `connection`.
    pub name: String,
    /// Its value.
    pub value: GoValue,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GoValue {
    /// A string, at most 4 KiB of it.
    Text(String),
    /// The words of a command line, at most 32.
    Words(Vec<String>),
    /// A number.
    Number(u64),
    /// Where an object is in memory. Two calls with the same address speak of the same object.
    Object(u64),
}

/// A thread of Go's runtime, an M.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoThread {
    /// Its number in the runtime.
    pub m: u64,
    /// The thread.
    pub tid: Tid,
    /// The goroutine it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goroutine: Option<u64>,
}

impl GoRuntime {
    /// What was read. `tids` gives threads, which the process knows by their ids in its own pid namespace, the ids that gmtrace sees.
    pub fn of(reading: Result<Reading, Unreadable>, tids: &HashMap<i32, Tid>) -> GoRuntime {
        let reading = match reading {
            Ok(reading) => reading,
            Err(Unreadable { why }) => {
                return GoRuntime { unreadable: Some(why), ..GoRuntime::default() };
            }
        };
        let mut names_left = MAX_NAMES;
        let goroutines = reading.goroutines.iter().map(|g| goroutine(g, tids, &mut names_left));
        let threads = reading.machines.iter().filter_map(|m| {
            let tid = *tids.get(&m.thread)?;
            Some(GoThread { m: m.id, tid, goroutine: m.goroutine })
        });
        GoRuntime {
            total: reading.total,
            goroutines: goroutines.collect(),
            threads: threads.collect(),
            version: reading.version,
            unreadable: None,
            partial: reading.partial.into_iter().take(MAX_PARTIAL).collect(),
        }
    }

    /// The goroutine with this number.
    pub fn goroutine(&self, id: u64) -> Option<&Goroutine> {
        self.goroutines.iter().find(|goroutine| goroutine.id == id)
    }
}

fn goroutine(g: &golang::Goroutine, tids: &HashMap<i32, Tid>, names_left: &mut usize) -> Goroutine {
    let kept = g.frames.len().min((*names_left).max(LEAST_NAMES));
    *names_left = names_left.saturating_sub(kept);
    let functions = g.frames.iter().take(kept).map(|frame| frame.function.to_string());
    let calls = g.frames.iter().filter(|frame| !frame.arguments.is_empty());
    Goroutine {
        id: g.id,
        status: g.status,
        wait_reason: g.wait_reason.clone(),
        tid: g.thread.and_then(|thread| tids.get(&thread).copied()),
        waits_for: g.waits_for,
        parent: g.parent,
        created_by: g.created_by.as_deref().map(str::to_owned),
        system: g.system,
        interrupted: g.interrupted,
        functions: functions.collect(),
        cut: kept < g.frames.len() || (!g.complete && !g.frames.is_empty()),
        calls: calls.map(call).collect(),
    }
}

fn call(frame: &golang::Frame) -> GoCall {
    let arguments = frame.arguments.iter().map(|argument| GoArgument {
        name: argument.name.to_owned(),
        value: match &argument.value {
            Value::Text(text) => GoValue::Text(text.clone()),
            Value::Texts(words) => GoValue::Words(words.clone()),
            Value::Number(number) => GoValue::Number(*number),
            Value::Address(address) => GoValue::Object(*address),
        },
    });
    GoCall { function: frame.function.to_string(), arguments: arguments.collect() }
}

impl Goroutine {
    /// The text of the innermost argument with this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.calls.iter().find_map(|call| call.text(name))
    }

    /// The module that it works on and, where its stack has it, the version. Both come from one call, or else the module from
    /// the innermost that has one.
    pub fn module(&self) -> Option<(&str, Option<&str>)> {
        let both =
            |call: &'_ GoCall| call.text("module").is_some() && call.text("version").is_some();
        let call = self.calls.iter().find(|call| both(call));
        match call {
            Some(call) => Some((call.text("module")?, call.text("version"))),
            None => Some((self.text("module")?, self.text("version"))),
        }
    }

    /// What it works on: `path@version`, or the path alone where the version is not known.
    pub fn worked_on(&self) -> Option<String> {
        let (path, version) = self.module()?;
        let asked = self.text("path").or_else(|| self.text("url"));
        let from_file = || {
            let (_, file) = asked?.rsplit_once("@v/")?;
            let (version, _) = file.rsplit_once('.')?;
            version.starts_with('v').then_some(version)
        };
        Some(match version.or_else(from_file) {
            Some(version) => format!("{path}@{version}"),
            None => path.to_owned(),
        })
    }

    /// Whether a function with this name is on its stack.
    pub fn is_in(&self, function: &str) -> bool {
        self.functions.iter().any(|name| name == function)
    }
}

impl GoCall {
    /// The text of the argument with this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find_map(|argument| match &argument.value {
            GoValue::Text(text) if argument.name == name => Some(text.as_str()),
            _ => None,
        })
    }
}
