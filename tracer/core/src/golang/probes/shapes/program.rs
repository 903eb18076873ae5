//! Other programs: src/cmd/go/internal/modfetch/codehost/codehost.go, src/os/exec_posix.go, src/cmd/go/internal/toolchain/select.go.

use super::super::convention::{INTERFACE, NUMBER, POINTER, SLICE, Slot, TEXT};
use super::super::fields::{FD, PATH_ERROR, PATH_ERROR_PATH, RUN_DIRECTORY};
use super::{Kind, Part, Shape, Wanted, What};
use super::{error, error_text, given, returned, second, whole};

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

/// (fd *poll.FD) Write(p []byte) (int, error), src/internal/poll/fd_unix.go
pub(super) fn write() -> Shape {
    let parameters = [POINTER, SLICE];
    Shape::new("internal/poll.(*FD).Write", &parameters, &[NUMBER, INTERFACE]).reads([
        given(What::Descriptor, whole(0), &[FD], Kind::Word),
        given(What::Written, whole(1), &[], Kind::Text),
    ])
}

/// lock(f File, lt lockType) error, src/cmd/go/internal/lockedfile/internal/filelock/filelock_unix.go: f is an `*os.File`, which
/// is a pointer to what begins with a poll.FD; the error is an `*fs.PathError`.
pub(super) fn lock_file() -> Shape {
    let symbol = "cmd/go/internal/lockedfile/internal/filelock.lock";
    Shape::new(symbol, &[INTERFACE, NUMBER], &[INTERFACE]).reads([
        given(What::Descriptor, second(0), &[0, FD], Kind::Word),
        given(What::LockMode, whole(1), &[], Kind::Half),
        error(0),
        error_text(0),
        returned(What::Errno, second(0), &[PATH_ERROR, 0], Kind::Word),
        returned(What::Path, second(0), &[PATH_ERROR_PATH], Kind::Text),
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
