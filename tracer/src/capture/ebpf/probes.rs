//! Probes on Go programs: which functions, and what each probe is told to read.

use super::failures::Names;
use super::load::{Error, Loaded};
use super::machine::Version;
use super::sys::{self, Probe};
use gmtrace_abi::golang::{self as abi, POINTS, STEPS, VALUES};
use gmtrace_core::golang::Unreadable;
use gmtrace_core::golang::probes::{
    Function, Kind, Moment, Placed, Points, Processor, Recipe, Start, What, points_of, registers,
};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The functions that are probed here, of those that can be: what `events` makes something of.
const WANTED: &[Function] = &[
    Function::Log,
    Function::Connect,
    Function::DialOne,
    Function::RoundTrip,
    Function::Http1,
    Function::Http2,
    Function::LockVersion,
    Function::Zip,
    Function::LookUpSum,
    Function::LookUp,
    Function::Handshake,
    Function::Run,
    Function::Start,
    Function::SelectToolchain,
    Function::ExecToolchain,
];
/// Those of them that are probed where each probe takes the kernel a while to take away.
const FEW: &[Function] = &[Function::Log, Function::Connect, Function::DialOne];
/// Those of which the beginning tells all. A return is what costs most: the kernel has to step over it.
const BEGINNINGS: &[Function] =
    &[Function::Log, Function::Http1, Function::Http2, Function::ExecToolchain];
/// The programs that are attached to them.
pub(super) const PROGRAMS: &[&str] = &["go_enter", "go_return", "go_log"];
/// The first kernel that says which probe was hit, and how the registers were (bpf_get_attach_cookie, bpf_task_pt_regs).
const TELLS_PROBES_APART: Version = Version(5, 15);
/// A file larger than this is no go command.
const LARGEST: u64 = 256 << 20;

/// What is not seen where the kernel does not attach many probes at once.
pub(super) fn without_many(kernel: Version) -> &'static str {
    if kernel < TELLS_PROBES_APART {
        "anything inside Go programs: the kernel tells probes apart since 5.15"
    } else {
        "requests inside Go programs: the kernel takes so many probes since 6.6"
    }
}

/// What is probed, by the numbers that the programs use.
#[derive(Debug, Default)]
pub struct GoPoints {
    points: Vec<GoPoint>,
    /// The binaries that have been looked at, by device and inode.
    binaries: HashMap<(u64, u64), Looked>,
}

/// A function of a binary.
#[derive(Debug)]
pub struct GoPoint {
    /// Which.
    pub function: Function,
    /// Whether it is told when it returns.
    pub ends: bool,
    /// What the values at its entry mean, in their order.
    pub entry: Vec<(What, Kind)>,
    /// Likewise at its return.
    pub at_return: Vec<(What, Kind)>,
    /// The names of types in the binary.
    pub(super) names: Option<Arc<Names>>,
}

/// What came of a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// It is no Go program.
    NotGo,
    /// It cannot be probed, and why.
    Unknown(String),
    /// It is probed, but for these functions, each with its reason.
    Probed(Vec<String>),
}

impl GoPoints {
    /// The function that a record is about.
    pub fn get(&self, point: u32) -> Option<&GoPoint> {
        self.points.get(point as usize)
    }
}

/// A program that may be probed, opened.
struct Opened {
    file: File,
    /// Device and inode.
    key: (u64, u64),
}

/// A program that was looked at, and where it can be probed.
pub(super) struct Program {
    key: (u64, u64),
    points: Result<Option<Points>, Unreadable>,
}

fn open(file: &Path) -> Option<Opened> {
    // What a process runs could be opened by the kernel; a file that is replaced meanwhile is another inode.
    let file = File::open(file).ok()?;
    let facts = file.metadata().ok().filter(|facts| facts.is_file() && facts.len() < LARGEST)?;
    Some(Opened { file, key: (facts.dev(), facts.ino()) })
}

impl Opened {
    fn read(self) -> Program {
        Program { key: self.key, points: points_of(self.file) }
    }
}

/// Looks at a program.
pub(super) fn read(file: &Path) -> Option<Program> {
    Some(open(file)?.read())
}

/// Probes a program, if it is a Go program and was not probed before. What is new is said.
pub fn watch(loaded: &mut Loaded, file: &Path) {
    let opened = open(file).filter(|opened| !loaded.go.binaries.contains_key(&opened.key));
    if let Some(opened) = opened {
        put(loaded, file, opened.read());
    }
}

/// Probes a program that was looked at.
pub(super) fn put(loaded: &mut Loaded, file: &Path, program: Program) {
    let looked = match program.points {
        Ok(Some(points)) => attach(loaded, (file, program.key), &points),
        Ok(None) => Looked::NotGo,
        Err(why) => Looked::Unknown(why.to_string()),
    };
    tracing::info!("{}: {looked:?}", file.display());
    loaded.go.binaries.insert(program.key, looked);
}

fn attach(loaded: &mut Loaded, (file, key): (&Path, (u64, u64)), points: &Points) -> Looked {
    let wanted = if loaded.probes_many() { WANTED } else { FEW };
    let mut left: Vec<String> = points
        .left
        .iter()
        .filter(|left| wanted.contains(&left.function))
        .map(|left| format!("{:?}: {}", left.function, left.why))
        .collect();
    // What `/proc/PID/exe` leads to is there when the process is not.
    let path = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let names = points.types.map(|start| Arc::new(Names { path, key, start }));
    let mut probes = Probes { names, ..Probes::default() };
    for placed in points.points.iter().filter(|placed| wanted.contains(&placed.function)) {
        if let Err(why) = probes.add(loaded, points, placed) {
            left.push(format!("{:?}: {why}", placed.function));
        }
    }
    left.extend(probes.attach(loaded, file));
    Looked::Probed(left)
}

/// The probes of a binary, by program.
#[derive(Debug, Default)]
struct Probes {
    returns: Vec<Probe>,
    messages: Vec<Probe>,
    entries: Vec<Probe>,
    names: Option<Arc<Names>>,
}

impl Probes {
    fn add(&mut self, loaded: &mut Loaded, points: &Points, placed: &Placed) -> Result<(), Error> {
        let number = u32::try_from(loaded.go.points.len()).unwrap_or(POINTS);
        if number >= POINTS {
            let why = "more Go programs than there is room for".to_owned();
            return Err(Error::Refused { what: placed.symbol.to_owned(), why });
        }
        let (point, known) = point(points, placed);
        loaded.set_point(number, point)?;
        // Known before the first record of it can come.
        loaded.go.points.push(GoPoint { names: self.names.clone(), ..known });
        let at = |offset| Probe { offset, cookie: number.into() };
        let entries = match placed.function {
            Function::Log => &mut self.messages,
            _ => &mut self.entries,
        };
        entries.push(at(placed.entry_offset));
        if point.tells_return != 0 {
            self.returns.extend(placed.returns.iter().copied().map(at));
        }
        Ok(())
    }

    /// Returns first: what has begun is then seen to end. What the kernel refused is given back.
    fn attach(self, loaded: &mut Loaded, file: &Path) -> Vec<String> {
        let all =
            [("go_return", self.returns), ("go_log", self.messages), ("go_enter", self.entries)];
        let attached =
            all.iter().map(|(program, at)| loaded.probe((program, sys::Moment::Reached), file, at));
        attached.filter_map(|attached| Some(attached.err()?.to_string())).collect()
    }
}

/// What the program in the kernel is told.
fn point(points: &Points, placed: &Placed) -> (abi::Point, GoPoint) {
    let of = |moment| placed.recipes.iter().filter(move |recipe| recipe.moment == moment);
    let (entry, entry_known) = values(of(Moment::Entry), points.processor);
    let ends = !BEGINNINGS.contains(&placed.function);
    let at_return = of(Moment::Return).filter(|_| ends);
    let (at_return, return_known) = values(at_return, points.processor);
    let kept = placed.recipes.iter().find_map(|recipe| match recipe.start {
        Start::Kept(register) => Some(register),
        _ => None,
    });
    let point = abi::Point {
        stack_end: points.goroutine.stack_end,
        goid: points.goroutine.id,
        kept: kept.map_or(0, |kept| word_of(points.processor, kept)),
        tells_entry: telling(placed, &entry_known),
        tells_return: u8::from(ends),
        unused: 0,
        entry,
        at_return,
    };
    let known = GoPoint {
        function: placed.function,
        ends,
        entry: entry_known,
        at_return: return_known,
        names: None,
    };
    (point, known)
}

/// Of a function of which nothing is read, it is told that it runs.
fn telling(placed: &Placed, known: &[(What, Kind)]) -> u8 {
    u8::from(!known.is_empty() || placed.recipes.is_empty())
}

type Known = Vec<(What, Kind)>;

fn values<'a>(
    recipes: impl Iterator<Item = &'a Recipe>,
    processor: Processor,
) -> ([abi::Value; VALUES], Known) {
    let mut values = [NOTHING; VALUES];
    let mut known = Vec::new();
    let readable = recipes.filter_map(|recipe| Some((recipe, value(recipe, processor)?)));
    for (place, (recipe, value)) in values.iter_mut().zip(readable) {
        *place = value;
        known.push((recipe.what, recipe.kind));
    }
    (values, known)
}

const NOTHING: abi::Value = abi::Value {
    read: abi::Read::Nothing as u8,
    kept: 0,
    steps: 0,
    register: [0; 2],
    direct: 0,
    offset: 0,
    way: [0; STEPS],
};

fn value(recipe: &Recipe, processor: Processor) -> Option<abi::Value> {
    let read = match recipe.kind {
        Kind::Text => abi::Read::Text,
        // What a program is called with is read from the process that it becomes; names are those of DNS, which the kernel tells of.
        Kind::Texts | Kind::Name => return None,
        Kind::Byte | Kind::Half | Kind::Word | Kind::Interface => abi::Read::Words,
    };
    let mut value = abi::Value { read: read as u8, ..NOTHING };
    let mut steps = recipe.steps().iter().map(|step| step.offset);
    match recipe.start {
        Start::Register(register) => {
            value.register = [register, register.saturating_add(1)].map(|r| word_of(processor, r));
        }
        Start::Kept(_) => value.kept = 1,
        Start::Stack(_) => value.register = [stack_word(processor); 2],
    }
    match (recipe.start, steps.len()) {
        (Start::Stack(above), _) => value.offset = above,
        (_, 0) => value.direct = 1,
        // The pointer of the first step is in the register.
        _ => value.offset = steps.next().unwrap_or(0),
    }
    value.steps = u8::try_from(steps.len()).ok()?;
    for (place, step) in value.way.get_mut(..steps.len())?.iter_mut().zip(steps) {
        *place = step;
    }
    Some(value)
}

/// Where a register lies in `struct pt_regs`, in words (arch/x86/include/asm/ptrace.h; on aarch64 by its number).
fn word_of(processor: Processor, register: u8) -> u8 {
    const AMD64: [&str; 15] = [
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
        "rsi", "rdi",
    ];
    let (names, _) = registers(processor);
    let name = names.get(usize::from(register)).copied().unwrap_or_default();
    let word = match processor {
        Processor::Amd64 => AMD64.iter().position(|known| *known == name),
        Processor::Arm64 => name.strip_prefix('x').and_then(|number| number.parse().ok()),
    };
    // There is no other name: a table of gmtrace-core.
    word.and_then(|word| u8::try_from(word).ok()).unwrap_or(0)
}

/// Likewise, the stack pointer.
fn stack_word(processor: Processor) -> u8 {
    match processor {
        Processor::Amd64 => 19,
        Processor::Arm64 => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lie_where_the_kernel_puts_them() {
        // rax is the eleventh word, as orig_ax the sixteenth.
        assert_eq!(word_of(Processor::Amd64, 0), 10);
        assert_eq!(word_of(Processor::Amd64, 1), 5, "rbx");
        assert_eq!(word_of(Processor::Amd64, 3), 14, "rdi");
        assert_eq!(word_of(Processor::Arm64, 7), 7);
    }
}
