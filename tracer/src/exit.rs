//! How gmtrace itself ends when it is not the command that ends it.

use clap::error::ErrorKind;
use std::process::ExitCode;

/// gmtrace's own failure before the command ran, usage errors too; as env(1) and timeout(1).
pub const FAILED: u8 = 125;
/// The command was ended by a timeout, as timeout(1).
pub const TIMED_OUT: u8 = 124;
/// The command had to be killed, as timeout(1): 128 + 9.
pub const KILLED: u8 = 137;

/// Help and version go to standard output and are no failure; what else clap says is told as everything that gmtrace tells.
pub fn usage(error: &clap::Error) -> ExitCode {
    use std::io::Write;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nothing can be done about an output that is closed.
        let _closed = error.print();
        return ExitCode::SUCCESS;
    }
    let said = error.render().to_string();
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    // Behind `--` stands a command here, and never a value.
    let said: String =
        said.split_inclusive('\n').filter(|line| !line.contains("' as a value, use '")).collect();
    let _closed = write!(std::io::stderr(), "gmtrace: {said}");
    ExitCode::from(FAILED)
}

/// Says what went wrong, with what it came from.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    use gmtrace_core::text::Escaped;
    use std::io::Write;
    let said = format!("{error:#}");
    // Standard error may be closed; eprintln! would panic.
    let _closed = writeln!(std::io::stderr(), "gmtrace: {}", Escaped::lines(&said));
    ExitCode::from(FAILED)
}
