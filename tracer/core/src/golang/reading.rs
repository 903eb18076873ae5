//! One reading of all goroutines.

use super::elf::Machine as Processor;
use super::goroutines::{self, G, Status};
use super::interrupted::{Interrupted, interrupted};
use super::layout::{self, Layout};
use super::machines::{self, M, Machine};
use super::meaning::{self, Meaning};
use super::memory::{Pages, ReadMemory};
use super::module::Module;
use super::netpoll::{self, Registration, WaitsFor};
use super::pclntab::Functions;
use super::place::{Binary, Place};
use super::reasons;
use super::unwind::{Stack, unwind};
use super::{Unreadable, layout::NEWEST};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// The most bytes of a stack that are asked for at once; what lies deeper is read when it is needed.
const STACK_AHEAD: u64 = 16 << 10;

/// The most functions of one stack, those that were inlined counted.
const MAX_FUNCTIONS: usize = 200;

/// The most functions of all stacks together.
const MAX_FRAMES: usize = 200_000;

/// What the kernel tells beside the memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extras {
    /// AT_ENTRY of `/proc/PID/auxv`, the address of the first instruction as it was loaded (getauxval(3)).
    pub entry: Option<u64>,
    /// The lines of all its epoll descriptors.
    pub registrations: Vec<Registration>,
    /// Its threads, in its own pid namespace.
    pub threads: Vec<i32>,
}

impl Extras {
    /// AT_ENTRY in the bytes of `/proc/PID/auxv`.
    pub fn entry_in(auxv: &[u8]) -> Option<u64> {
        const AT_ENTRY: u64 = 9;
        let (pairs, _) = auxv.as_chunks::<16>();
        pairs.iter().find_map(|pair| {
            let pair = u128::from_le_bytes(*pair);
            (pair as u64 == AT_ENTRY).then_some((pair >> 64) as u64)
        })
    }
}

/// Everything that was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// As `go1.26.8`.
    pub version: String,
    /// The living goroutines in the order of the runtime's list.
    pub goroutines: Vec<Goroutine>,
    /// How many there are, those beyond the bound counted, dead or not.
    pub total: u64,
    /// The runtime's threads in the order of their numbers.
    pub machines: Vec<Machine>,
    /// What is missing, one sentence each.
    pub partial: Vec<String>,
}

/// A goroutine.
#[derive(Debug, Clone, PartialEq)]
pub struct Goroutine {
    /// Its number.
    pub id: u64,
    /// What it does.
    pub status: Status,
    /// Why it waits, in the runtime's words.
    pub wait_reason: Option<String>,
    /// Its thread, in the process's own pid namespace, while it runs or is in a system call.
    pub thread: Option<i32>,
    /// The number of the goroutine that made it.
    pub parent: Option<u64>,
    /// The function with the `go` statement.
    pub created_by: Option<Rc<str>>,
    /// Whether it belongs to the runtime itself.
    pub system: bool,
    /// The descriptor it is parked for.
    pub waits_for: Option<WaitsFor>,
    /// Where it was interrupted, while it runs, and has done nothing but run since.
    pub interrupted: Option<Interrupted>,
    /// Its stack, innermost first; while it runs, that of where it was interrupted.
    pub frames: Vec<Frame>,
    /// Whether the stack was followed to its end.
    pub complete: bool,
}

/// A function that is being executed.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its name as the runtime prints it.
    pub function: Rc<str>,
    /// Whether its code was put into that of the next one.
    pub inlined: bool,
    /// What its arguments mean, for functions that are known.
    pub arguments: Vec<Meaning>,
}

/// Reads the goroutines of a process that runs `binary`.
///
/// # Errors
/// Says why where the process is not as any known Go makes it.
pub fn read(
    memory: &dyn ReadMemory,
    binary: &Binary,
    extras: &Extras,
) -> Result<Reading, Unreadable> {
    let version = &binary.build.version;
    let minor = layout::minor(version);
    let layout = minor
        .and_then(layout::of)
        .ok_or_else(|| Unreadable::new(format!("its Go version is not known: {version:?}")))?;
    let entry = extras.entry.ok_or_else(|| Unreadable::new("it is not known where it lies"))?;
    let place = Place { binary, bias: entry.wrapping_sub(binary.entry) };
    let pages = Pages::new(memory);
    if pages.byte(entry).is_none() {
        return Err(Unreadable::new("its memory may not be read"));
    }
    let reading =
        Reader::new(&pages, place, layout).and_then(|reader| reader.reading(version, extras));
    reading.map_err(|unreadable| match minor {
        Some(minor) if minor > NEWEST => {
            Unreadable::new(format!("{version} is newer than this gmtrace: {unreadable}"))
        }
        _ => unreadable,
    })
}

struct Reader<'p, 'a> {
    pages: &'p Pages<'a>,
    place: Place<'p>,
    layout: Layout,
    functions: Functions<'p, 'a>,
    frames_left: Cell<usize>,
}

impl<'p, 'a> Reader<'p, 'a> {
    fn new(
        pages: &'p Pages<'a>,
        place: Place<'p>,
        layout: Layout,
    ) -> Result<Reader<'p, 'a>, Unreadable> {
        let module = Module::find(pages, &place, &layout)?;
        let functions = Functions::new(pages, module, layout);
        Ok(Reader { pages, place, layout, functions, frames_left: Cell::new(MAX_FRAMES) })
    }

    fn reading(&self, version: &str, extras: &Extras) -> Result<Reading, Unreadable> {
        let all = goroutines::all(self.pages, &self.place, &self.layout)?;
        let alive = || all.gs.iter().filter(|g| g.status.is_some());
        self.pages.prefetch(alive().map(|g| {
            let sp = g.start.sp;
            (sp, g.start.end.saturating_sub(sp).min(STACK_AHEAD))
        }));
        let ms = machines::all(
            self.pages,
            &self.place,
            &self.layout,
            &extras.threads,
            all.gs.iter().map(|g| g.m),
        );
        let around = Around {
            reasons: reasons::names(self.pages, &self.place),
            waiting: netpoll::registered(self.pages, &self.layout, &extras.registrations),
            ms: &ms,
        };
        let goroutines: Vec<Goroutine> =
            alive().filter_map(|g| self.goroutine(g, &around)).collect();
        let ids: HashMap<u64, u64> = all.gs.iter().map(|g| (g.address, g.id)).collect();
        Ok(Reading {
            version: version.to_owned(),
            total: goroutines.len() as u64 + all.beyond(),
            goroutines,
            machines: machines_of(&ms, &ids),
            partial: self.partial(&all, &around),
        })
    }

    fn goroutine(&self, g: &G, around: &Around<'_>) -> Option<Goroutine> {
        let status = g.status?;
        let (interrupted, stack) = match status {
            _ if self.frames_left.get() == 0 => (None, Stack::default()),
            Status::Running => self.interrupted(g, around),
            Status::Copystack | Status::Idle => (None, Stack::default()),
            _ => (None, unwind(self.pages, &self.functions, self.processor(), g.start)),
        };
        let name_at = |pc: u64| self.functions.at(pc).map(|function| Rc::clone(&function.name));
        let begins_with = g.begins_at.and_then(name_at);
        Some(Goroutine {
            id: g.id,
            status,
            wait_reason: around.reason(g, status),
            thread: around.thread(g, status),
            parent: g.parent,
            // The runtime itself made goroutine 1.
            created_by: g
                .created_at
                .filter(|_| g.id != 1)
                .and_then(|pc| name_at(pc.wrapping_sub(1))),
            system: begins_with.is_some_and(|name| is_system(&name)),
            waits_for: self.waits_for(g, &stack, around),
            interrupted,
            frames: self.frames(&stack),
            complete: stack.complete,
        })
    }

    fn interrupted(&self, g: &G, around: &Around<'_>) -> (Option<Interrupted>, Stack) {
        let m = around.ms.get(&g.m);
        let found = m.and_then(|m| interrupted(self.pages, &self.place, &self.functions, g, m));
        found.map_or_else(Default::default, |(interrupted, stack)| (Some(interrupted), stack))
    }

    fn processor(&self) -> Processor {
        self.place.binary.processor
    }

    /// Both ways have to say the same.
    fn waits_for(&self, g: &G, stack: &Stack, around: &Around<'_>) -> Option<WaitsFor> {
        if g.status != Some(Status::Waiting) {
            return None;
        }
        let registered = around.waiting.get(&g.address).copied().flatten()?;
        let on_stack = netpoll::on_stack(self.pages, &self.functions, stack)?;
        (registered == on_stack).then_some(registered)
    }

    fn frames(&self, stack: &Stack) -> Vec<Frame> {
        let mut frames = Vec::new();
        for call in &stack.calls {
            let names = self.functions.names_at(&call.function, call.pc);
            let last = names.len().saturating_sub(1);
            for (at, function) in names.iter().enumerate() {
                let (function, inlined) = (Rc::clone(function), at < last);
                // The arguments of what was inlined have no place of their own.
                let arguments = if inlined {
                    Vec::new()
                } else {
                    meaning::of(self.pages, &self.functions, call)
                };
                frames.push(Frame { function, inlined, arguments });
            }
        }
        frames.truncate(MAX_FUNCTIONS.min(self.frames_left.get()));
        self.frames_left.set(self.frames_left.get() - frames.len());
        frames
    }

    fn partial(&self, all: &goroutines::All, around: &Around<'_>) -> Vec<String> {
        let mut partial = Vec::new();
        if all.beyond() > 0 {
            partial.push(format!("{} goroutines more were not looked at", all.beyond()));
        }
        if all.strange > 0 {
            partial.push(format!("{} goroutines could not be read", all.strange));
        }
        if around.reasons.is_empty() {
            partial.push("the names of wait reasons were not found".to_owned());
        }
        if self.pages.exhausted() || self.frames_left.get() == 0 {
            partial.push("there was more memory to read than is read at once".to_owned());
        }
        partial
    }
}

/// What goroutines are looked up in.
struct Around<'m> {
    reasons: Vec<String>,
    waiting: HashMap<u64, Option<WaitsFor>>,
    ms: &'m HashMap<u64, M>,
}

impl Around<'_> {
    fn reason(&self, g: &G, status: Status) -> Option<String> {
        let waits = status == Status::Waiting;
        let name = self.reasons.get(usize::from(g.wait_reason)).filter(|_| waits);
        name.filter(|name| !name.is_empty()).cloned()
    }

    /// The thread, if its M says that it runs this goroutine.
    fn thread(&self, g: &G, status: Status) -> Option<i32> {
        let has_one = matches!(status, Status::Running | Status::Syscall);
        let m = self.ms.get(&g.m).filter(|m| has_one && m.current == g.address)?;
        m.thread
    }
}

fn machines_of(ms: &HashMap<u64, M>, ids: &HashMap<u64, u64>) -> Vec<Machine> {
    let machines = ms.values().filter_map(|m| {
        Some(Machine { id: m.id, thread: m.thread?, goroutine: ids.get(&m.current).copied() })
    });
    let mut machines: Vec<Machine> = machines.collect();
    machines.sort_by_key(|machine| machine.id);
    machines
}

/// As `isSystemGoroutine` of runtime/traceback.go decides, but for finalizers, which are the program's while they run.
fn is_system(first: &str) -> bool {
    first.starts_with("runtime.") && !matches!(first, "runtime.main" | "runtime.handleAsyncEvent")
}
