//! Modules: src/cmd/go/internal/modfetch/proxy.go, cache.go and sumdb.go. Contexts came with Go 1.21.

use super::super::convention::{INTERFACE, POINTER, SLICE, Slot, TEXT, words};
use super::super::fields::PROXY_PATH;
use super::{Kind, Part, Shape, Wanted, What};
use super::{error, given, whole};

/// A method of `*proxyRepo` with these parameters, and a context before them where there are contexts. The last parameter is a
/// version, if one is wanted.
fn proxy(minor: u32, symbol: &'static str, parameters: &[Slot], results: &[Slot]) -> Shape {
    let context: &[Slot] = if minor < 21 { &[] } else { &[INTERFACE] };
    Shape::new(symbol, &[&[POINTER], context, parameters].concat(), results)
        .reads([given(What::Module, whole(0), &[PROXY_PATH], Kind::Text)])
        .reads([error(results.len().saturating_sub(1))])
}

impl Shape {
    fn with_version(self) -> Shape {
        let last = self.parameters.len().saturating_sub(1);
        self.reads([given(What::Version, whole(last), &[], Kind::Text)])
    }
}

/// Versions(prefix) (*Versions, error)
pub(super) fn versions(minor: u32) -> Shape {
    let symbol = "cmd/go/internal/modfetch.(*proxyRepo).Versions";
    proxy(minor, symbol, &[TEXT], &[POINTER, INTERFACE])
}

/// Latest() (*RevInfo, error)
pub(super) fn latest(minor: u32) -> Shape {
    let symbol = "cmd/go/internal/modfetch.(*proxyRepo).Latest";
    proxy(minor, symbol, &[], &[POINTER, INTERFACE])
}

/// Stat(rev) (*RevInfo, error)
pub(super) fn stat(minor: u32) -> Shape {
    let symbol = "cmd/go/internal/modfetch.(*proxyRepo).Stat";
    proxy(minor, symbol, &[TEXT], &[POINTER, INTERFACE]).with_version()
}

/// GoMod(version) ([]byte, error)
pub(super) fn go_mod(minor: u32) -> Shape {
    let symbol = "cmd/go/internal/modfetch.(*proxyRepo).GoMod";
    proxy(minor, symbol, &[TEXT], &[SLICE, INTERFACE]).with_version()
}

/// Zip(dst io.Writer, version) error
pub(super) fn zip(minor: u32) -> Shape {
    let symbol = "cmd/go/internal/modfetch.(*proxyRepo).Zip";
    proxy(minor, symbol, &[INTERFACE, TEXT], &[INTERFACE]).with_version()
}

/// `module.Version`: Path and Version.
const VERSION: Slot = words(4);

fn version(slot: usize) -> [Wanted; 2] {
    let second = Part { slot, word: 2, byte: 16 };
    [
        given(What::Module, whole(slot), &[], Kind::Text),
        given(What::Version, second, &[], Kind::Text),
    ]
}

/// lockVersion(mod) (unlock func(), err error)
pub(super) fn lock_version(minor: u32) -> Shape {
    let parameters: &[Slot] = if minor < 21 { &[VERSION] } else { &[INTERFACE, VERSION] };
    let symbol = "cmd/go/internal/modfetch.lockVersion";
    Shape::new(symbol, parameters, &[POINTER, INTERFACE])
        .reads(version(parameters.len().saturating_sub(1)))
        .reads([error(1)])
}

/// lookupSumDB(mod) (dbname string, lines []string, err error)
pub(super) fn look_up_sum() -> Shape {
    let symbol = "cmd/go/internal/modfetch.lookupSumDB";
    Shape::new(symbol, &[VERSION], &[TEXT, SLICE, INTERFACE]).reads(version(0)).reads([error(2)])
}

/// (c *dbClient) ReadRemote(path) ([]byte, error)
pub(super) fn read_sum() -> Shape {
    let symbol = "cmd/go/internal/modfetch.(*dbClient).ReadRemote";
    let parameters = [POINTER, TEXT];
    Shape::new(symbol, &parameters, &[SLICE, INTERFACE])
        .reads([given(What::Path, whole(1), &[], Kind::Text), error(1)])
}
