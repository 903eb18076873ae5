//! Where to put probes (uprobes) into a Go program, and how to read what each of them sees: host, URL, status, module, ...
//!
//! All of it is data, for a program in the kernel that reads registers and memory and knows nothing of Go. Functions are found by the
//! table that every Go program has, with symbols or without. A function is probed where it begins and at each instruction by which it
//! returns, never by its return address: Go moves stacks and looks at them (go.dev/issue/22008). What is missing, was built by a
//! release that is not known, or is not understood to the last byte is left out, with its reason.
//!
//! A function whose stack is too small makes it larger and begins again (runtime.morestack). On x86 it is probed behind the check whether
//! that is so, elsewhere its entry may be seen twice. [`Goroutine::stack_end`] less the stack pointer is the same both times, and at the
//! return.

mod convention;
mod entry;
mod fields;
mod function;
mod functions;
mod image;
mod recipe;
mod returns;
mod shapes;

pub use convention::registers;
pub use function::Function;
pub use recipe::{Kind, MAX_STEPS, MAX_VALUES, Moment, Recipe, Start, Step, What};

pub use super::Processor;
use super::layout::{self, G_STACK_HI, Layout};
use super::memory::Pages;
use super::module::Module;
use super::{Binary, Place, Unreadable};
use fields::Fields;
use functions::Found;
use image::Image;
use object::read::{ReadCache, ReadRef};
use shapes::Shape;
use std::io::{Cursor, Read, Seek};

/// The probes of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points {
    /// The release it was built by, as `go1.26.8`.
    pub version: String,
    /// The processor it is for.
    pub processor: Processor,
    /// What of a goroutine is needed to tell calls apart.
    pub goroutine: Goroutine,
    /// Where in the file the names of types begin; their offsets, as [`What::ErrorType`] is one, count from here.
    pub types: Option<u64>,
    /// The functions that can be probed, in the order of [`Function::ALL`].
    pub points: Vec<Placed>,
    /// Those that cannot.
    pub left: Vec<Left>,
}

/// Offsets in bytes into `runtime.g`, to which the last of [`registers`] points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goroutine {
    /// Where its stack ends: `stack.hi`.
    pub stack_end: u16,
    /// Its number.
    pub id: u16,
}

/// A function that can be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Which one.
    pub function: Function,
    /// Its name in the program.
    pub symbol: &'static str,
    /// Where in the file it is seen to begin, bytes: what perf_event_open(2) takes for a uprobe. The stack pointer and the registers of
    /// the parameters are there as at its first instruction.
    pub entry_offset: u64,
    /// Where the instructions are by which it returns; at least one.
    pub returns: Vec<u64>,
    /// What is read. At most [`MAX_VALUES`] of each [`Moment`], and of at most one register [`Start::Kept`].
    pub recipes: Vec<Recipe>,
}

/// A function that cannot be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which one.
    pub function: Function,
    /// Its reason.
    pub why: Why,
}

/// Why a function is not probed. Offsets are from its first instruction, bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// This release is not in the tables.
    #[error("{0} is not known")]
    Release(String),
    /// By design.
    #[error("this release of Go has no such function")]
    Never,
    /// It was not linked.
    #[error("the program has no such function")]
    Missing,
    /// Its name is not its own.
    #[error("the program has more than one function of this name")]
    Twice,
    /// What the table says is not a part of the file that is executed.
    #[error("its instructions are not in the file")]
    NotInFile,
    /// Empty, or larger than any function that is known.
    #[error("it has {0} bytes")]
    Size(usize),
    /// What is there is no instruction, or not one that Go's compiler uses.
    #[error("what is at {0:#x} is not understood")]
    Unclear(u64),
    /// It can end by going on in another function.
    #[error("it leaves by a jump at {0:#x}")]
    JumpsAway(u64),
    /// Where it is to be probed, it calls a method of an interface; it has so many such calls.
    #[error("it calls {0} methods, and not one")]
    Calls(usize),
    /// It has no instruction to return by.
    #[error("it does not return")]
    NeverReturns,
}

/// Where a program, whose file this is, can be probed. None when it is not a Go program.
///
/// # Errors
/// When it was built by a Go before 1.18, or its tables cannot be read.
pub fn points(file: &[u8]) -> Result<Option<Points>, Unreadable> {
    points_of(Cursor::new(file))
}

/// Likewise; of the file only what is needed is read, and kept while it is looked at.
///
/// # Errors
/// As [`points`].
pub fn points_of(mut file: impl Read + Seek) -> Result<Option<Points>, Unreadable> {
    let Some(binary) = Binary::read(&mut file)? else { return Ok(None) };
    let file = ReadCache::new(file);
    Image::of(&file).map(|image| points_in(&binary, &image)).transpose()
}

fn points_in<'d, R: ReadRef<'d>>(
    binary: &Binary,
    image: &Image<'d, R>,
) -> Result<Points, Unreadable> {
    let version = &binary.build.version;
    let minor = layout::minor(version);
    let layout = minor
        .and_then(layout::of)
        .ok_or_else(|| Unreadable::new(format!("its Go version is not known: {version:?}")))?;
    let mut points = Points {
        version: version.clone(),
        processor: binary.processor,
        goroutine: goroutine(&layout),
        types: None,
        points: Vec::new(),
        left: Vec::new(),
    };
    match minor.and_then(|minor| Some((minor, fields::of(minor)?))) {
        Some((minor, fields)) => {
            let module = module(binary, image, &layout)?;
            points.types = module.types.and_then(|types| image.offset(types));
            points.place(image, &module, &shapes(minor, &fields));
        }
        None => points.leave_all(&Why::Release(version.clone())),
    }
    Ok(points)
}

fn goroutine(layout: &Layout) -> Goroutine {
    let small = |offset: u64| u16::try_from(offset).unwrap_or(u16::MAX);
    Goroutine { stack_end: small(G_STACK_HI), id: small(layout.g_goid) }
}

/// The table of contents, as the file has it: not moved.
fn module<'d, R: ReadRef<'d>>(
    binary: &Binary,
    image: &Image<'d, R>,
    layout: &Layout,
) -> Result<Module, Unreadable> {
    Module::find(&Pages::new(image), &Place { binary, bias: 0 }, layout)
}

fn shapes(minor: u32, fields: &Fields) -> Vec<(Function, Option<Shape>)> {
    let all = Function::ALL.iter();
    all.map(|function| (*function, shapes::shape(*function, minor, fields))).collect()
}

impl Points {
    fn place<'d, R: ReadRef<'d>>(
        &mut self,
        image: &Image<'d, R>,
        module: &Module,
        shapes: &[(Function, Option<Shape>)],
    ) {
        let symbols = shapes.iter().filter_map(|(_, shape)| Some(shape.as_ref()?.symbol));
        let found = functions::find(image, module, symbols);
        for (function, shape) in shapes {
            let placed = shape.as_ref().ok_or(Why::Never).and_then(|shape| {
                placed(*function, shape, found.get(shape.symbol), image, self.processor)
            });
            match placed {
                Ok(placed) => self.points.push(placed),
                Err(why) => self.left.push(Left { function: *function, why }),
            }
        }
    }

    fn leave_all(&mut self, why: &Why) {
        let all = Function::ALL.iter();
        self.left = all.map(|function| Left { function: *function, why: why.clone() }).collect();
    }
}

fn placed<'d, R: ReadRef<'d>>(
    function: Function,
    shape: &Shape,
    found: Option<&Found>,
    image: &Image<'d, R>,
    processor: Processor,
) -> Result<Placed, Why> {
    let range = match found.ok_or(Why::Missing)? {
        Found::Once(range) => range,
        Found::Twice => return Err(Why::Twice),
    };
    let (code, first) = image.code(range).ok_or(Why::NotInFile)?;
    let returns = returns::returns(processor, code, range)?;
    let returns = returns.into_iter().map(|at| first.checked_add(at));
    let entry = shape.site.find(processor, code)?;
    Ok(Placed {
        function,
        symbol: shape.symbol,
        entry_offset: first.checked_add(entry).ok_or(Why::NotInFile)?,
        returns: returns.collect::<Option<_>>().ok_or(Why::NotInFile)?,
        recipes: shape.recipes(processor),
    })
}
