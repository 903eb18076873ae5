//! Other programs: src/cmd/go/internal/modfetch/codehost/codehost.go, src/os/exec_posix.go, src/cmd/go/internal/toolchain/select.go.

use super::super::convention::{INTERFACE, POINTER, SLICE, Slot, TEXT};
use super::super::fields::{FD, RUN_DIRECTORY};
use super::{Kind, Part, Shape, Wanted, What};
use super::{error, given, returned, whole};

/// `RunArgs`: cmdline []any, dir string, local bool, env []string, stdin io.Reader.
const RUN_ARGS: Slot = Slot { words: Some(11), bytes: 88 };

/// run(ctx, RunArgs) ([]byte, error) from 1.24, before it RunWithStdin(ctx from 1.21, dir, stdin, cmdline ...any) ([]byte, error).
pub(super) fn run(minor: u32) -> Shape {
    let results = [SLICE, INTERFACE];
    let (shape, directory, command) = if minor < 24 {
        let all = [INTERFACE, TEXT, INTERFACE, SLICE];
        let parameters = if minor < 21 { &all[1..] } else { &all };
        let symbol = "cmd/go/internal/modfetch/codehost.RunWithStdin";
        let directory = parameters.len() - 3;
        (Shape::new(symbol, parameters, &results), whole(directory), whole(directory + 2))
    } else {
        let symbol = "cmd/go/internal/modfetch/codehost.run";
        let directory = Part { slot: 1, word: 3, byte: RUN_DIRECTORY };
        (Shape::new(symbol, &[INTERFACE, RUN_ARGS], &results), directory, whole(1))
    };
    shape.reads([
        given(What::Directory, directory, &[], Kind::Text),
        word(What::Program, command, 0),
        word(What::FirstArgument, command, 1),
        error(1),
    ])
}

/// An element of a `[]any` that is a string: a type, and a pointer to the string.
fn word(what: What, command: Part, index: u16) -> Wanted {
    given(what, command, &[index * 16 + 8, 0], Kind::Text)
}

/// startProcess(name, argv []string, attr *ProcAttr) (*Process, error)
pub(super) fn start() -> Shape {
    Shape::new("os.startProcess", &[TEXT, SLICE, POINTER], &[POINTER, INTERFACE]).reads([
        given(What::Program, whole(0), &[], Kind::Text),
        given(What::Arguments, whole(1), &[], Kind::Texts),
        given(What::Directory, whole(2), &[0], Kind::Text),
        returned(What::Process, whole(0), &[0], Kind::Word),
        error(1),
    ])
}

/// Where (l *Logger) output, before 1.21 Output, calls l.out.Write(p []byte), src/log/log.go: the logger of go writes to an `*os.File`.
pub(super) fn log(minor: u32) -> Shape {
    let symbol = if minor < 21 { "log.(*Logger).Output" } else { "log.(*Logger).output" };
    Shape::of_method_call(symbol, &[POINTER, SLICE]).reads([
        given(What::Descriptor, whole(0), &[0, FD], Kind::Word),
        given(What::Written, whole(1), &[], Kind::Text),
    ])
}

/// Select()
pub(super) fn select_toolchain(minor: u32) -> Option<Shape> {
    (minor >= 21).then(|| Shape::new("cmd/go/internal/toolchain.Select", &[], &[]))
}

/// Exec(state from 1.26, gotoolchain string)
pub(super) fn exec_toolchain(minor: u32) -> Option<Shape> {
    let parameters: &[Slot] = if minor < 26 { &[TEXT] } else { &[POINTER, TEXT] };
    let name = given(What::Toolchain, whole(parameters.len().saturating_sub(1)), &[], Kind::Text);
    let shape = Shape::new("cmd/go/internal/toolchain.Exec", parameters, &[]);
    (minor >= 21).then(|| shape.reads([name]))
}
