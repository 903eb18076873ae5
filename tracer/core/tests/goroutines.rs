//! Goroutines of processes that are long gone, out of what was read of their memory: `tests/recordings/golang`, of every Go release.
//! Each reading was equal to what the process printed at SIGQUIT; beside it is what it gives: what it gave then, and since then the
//! connection in the calls of `persistConn.Read`, whose arguments were not read at the time. They are made by
//! `GMTRACE_RECORD_GOROUTINES=DIR cargo test -p gmtrace-tests --test goroutines`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as the test does"
)]

use flate2::read::GzDecoder;
use gmtrace_core::event::{Direction, GoRuntime, Status};
use gmtrace_core::golang::{self, Piece, ReadMemory, Recorded};
use proptest::prelude::*;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

#[allow(dead_code, reason = "the other checks belong to the corpus")]
#[path = "../../../tests/fuzz/fuzz_targets/checks.rs"]
mod checks;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recordings/golang")
}

fn bytes(name: &str) -> Vec<u8> {
    let file = File::open(directory().join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

fn names() -> Vec<String> {
    let files = directory().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.to_str()?.strip_suffix(".gz")?.to_owned())).collect();
    names.sort();
    names
}

fn read(name: &str) -> GoRuntime {
    checks::goroutines(&Recorded::from_bytes(&bytes(name)).unwrap())
}

#[test]
fn every_recording_gives_what_it_gave() {
    let names = names();
    for release in ["1.19", "1.21", "1.22", "1.23", "1.24", "1.25", "1.26", "1.27"] {
        let of_release = |name: &&String| name.starts_with(&format!("go{release}."));
        assert!(names.iter().any(|name| of_release(&name)), "none of {release} in {names:?}");
    }
    for name in names {
        let expected = std::fs::read(directory().join(format!("{name}.json"))).unwrap();
        let expected: GoRuntime = serde_json::from_slice(&expected).unwrap();
        assert_eq!(read(&name), expected, "{name}");
    }
}

#[test]
fn a_download_tells_its_module_its_url_and_its_descriptor() {
    for name in names().iter().filter(|name| name.ends_with("zip-silent")) {
        let runtime = read(name);
        let asks = runtime.goroutines.iter().find(|g| g.text("url").is_some()).unwrap();
        assert_eq!(asks.module(), Some(("example.com/m000", Some("v1.0.0"))), "{name}");
        assert!(asks.text("url").unwrap().ends_with("/example.com/m000/@v/v1.0.0.zip"), "{name}");
        let mut waits = runtime.goroutines.iter().filter_map(|g| g.waits_for);
        assert_eq!(waits.next().unwrap().direction, Direction::Read, "{name}");
        assert_eq!(waits.next(), None, "{name}");
    }
}

#[test]
fn a_wait_for_a_lock_tells_its_thread_and_its_file() {
    for name in names().iter().filter(|name| name.ends_with("lock-held")) {
        let runtime = read(name);
        let waits = runtime.goroutines.iter().find(|g| g.is_in("syscall.Flock")).unwrap();
        assert_eq!(waits.status, Status::Syscall, "{name}");
        assert!(waits.tid.is_some(), "{name}");
        assert!(waits.text("file").unwrap().ends_with("/m000/@v/v1.0.0.lock"), "{name}");
    }
}

#[test]
fn a_recording_is_written_as_it_was_read() {
    let bytes = bytes("go1.27.3-lock-held");
    let recorded = Recorded::from_bytes(&bytes).unwrap();
    assert_eq!(recorded.to_bytes().unwrap(), bytes);
    for length in [0, 10, 17, 25, 4000, bytes.len() - 1] {
        let _shorter = Recorded::from_bytes(&bytes[..length]);
    }
}

#[test]
fn without_the_epoll_set_no_descriptor_is_believed() {
    let recorded = Recorded::from_bytes(&bytes("go1.27.3-zip-silent")).unwrap();
    let mut extras = recorded.extras().clone();
    for registration in &mut extras.registrations {
        registration.fd += 1;
    }
    let reading = golang::read(&recorded, recorded.binary(), &extras).unwrap();
    assert!(reading.goroutines.iter().all(|goroutine| goroutine.waits_for.is_none()));
}

#[test]
fn a_newer_go_is_read_as_the_newest_known_and_one_that_differs_is_unreadable() {
    let recorded = Recorded::from_bytes(&bytes("go1.27.3-zip-silent")).unwrap();
    let as_version = |version: &str| {
        let mut binary = recorded.binary().clone();
        binary.build.version = version.to_owned();
        golang::read(&recorded, &binary, recorded.extras())
    };
    let known = as_version("go1.27.3").unwrap();
    assert_eq!(as_version("go1.28.0").unwrap().goroutines, known.goroutines);
    for other in ["go1.19.8", "go1.24.11", "go1.17", "unknown", ""] {
        let why = as_version(other).unwrap_err().why;
        assert!(!why.is_empty(), "{other}");
    }
    let old = Recorded::from_bytes(&bytes("go1.24.11-zip-silent")).unwrap();
    let mut binary = old.binary().clone();
    binary.build.version = "go1.31.0".to_owned();
    let why = golang::read(&old, &binary, old.extras()).unwrap_err().why;
    assert!(why.starts_with("go1.31.0 is newer than this gmtrace: "), "{why}");
}

/// A recording, and elsewhere memory that goes on for ever.
struct Endless {
    recorded: Recorded,
    elsewhere: fn(u64) -> u64,
    instead: Vec<(u64, u64)>,
}

impl ReadMemory for Endless {
    fn read(&self, pieces: &mut [Piece<'_>]) {
        self.recorded.read(pieces);
        for piece in pieces {
            let unknown = piece.filled == 0;
            piece.filled = piece.buffer.len();
            for (index, word) in (0..).zip(piece.buffer.as_chunks_mut::<8>().0) {
                let at = piece.address.wrapping_add(index * 8);
                let instead = self.instead.iter().find(|(address, _)| *address == at);
                let made = unknown.then(|| (self.elsewhere)(at));
                if let Some(value) = instead.map(|(_, value)| *value).or(made) {
                    *word = value.to_le_bytes();
                }
            }
        }
    }

    fn grain(&self) -> usize {
        self.recorded.grain()
    }
}

#[test]
fn lists_without_an_end_end() {
    let recorded = Recorded::from_bytes(&bytes("go1.27.3-zip-silent")).unwrap();
    let binary = recorded.binary().clone();
    let symbols = binary.symbols;
    let (allgs, allm) = (symbols.allgs.unwrap(), symbols.allm.unwrap());
    let lengths = [0, 1, 10_000, 1 << 31, 1 << 62, 1 << 63, u64::MAX];
    let elsewhere: [fn(u64) -> u64; 5] =
        [|_| 0, |_| u64::MAX, |at| at, |at| at.wrapping_add(8), |at| at & !0xfff | 0x08];
    for elsewhere in elsewhere {
        for length in lengths {
            let instead = vec![(allgs + 8, length), (allgs + 16, length), (allm, allm)];
            let endless = Endless { recorded: recorded.clone(), elsewhere, instead };
            let reading = golang::read(&endless, &binary, recorded.extras());
            let read = reading.map_or(0, |reading| reading.goroutines.len());
            assert!(read <= 10_000);
        }
    }
}

fn hostile_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(1 << 63),
        Just(1 << 62),
        Just(u64::MAX - 7),
        0..4096_u64,
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Words of a real process are replaced by hostile ones, or by one another.
    #[test]
    fn a_hostile_process_is_read_within_bounds(
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), hostile_word(), any::<prop::sample::Index>(), any::<bool>()),
            1..200,
        ),
        stripped in any::<bool>(),
    ) {
        let name = if stripped { "go1.21.13-every_wait-Stripped" } else { "go1.27.3-zip-silent" };
        let mut bytes = bytes(name);
        // Only memory is changed, not what stands before it.
        let about = u32::from_le_bytes(bytes[17..21].try_into().unwrap()) as usize;
        let memory = 21 + about;
        let words = (bytes.len() - memory) / 8;
        for (at, value, other, copied) in changes {
            let (at, other) = (memory + at.index(words) * 8, memory + other.index(words) * 8);
            let value = if copied { bytes[other..other + 8].to_vec() } else { value.to_le_bytes().to_vec() };
            bytes[at..at + 8].copy_from_slice(&value);
        }
        checks::golang(&bytes);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        checks::golang(&bytes);
        checks::golang(&[b"gmtrace.memory/1\n", bytes.as_slice()].concat());
        checks::golang(&[b"\x7fELF\x02\x01\x01", bytes.as_slice()].concat());
    }
}
