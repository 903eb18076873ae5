//! gmtrace says what a hung go command is waiting for.

mod cli;
mod exit;
mod look;
mod manual;
mod output;
mod run;
mod words;

use cli::{Cli, Word};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    init_log(cli.run.look.verbose);
    let result = match cli.word {
        None if !cli.attach.pid.is_empty() => look::attach(cli.run, cli.attach),
        None => run::command(cli.run, cli.command),
        Some(Word::Report(options)) => words::report(&options, &cli.run.look),
        Some(Word::Explain { code, markdown }) => {
            words::explain(code.as_deref(), markdown, &cli.run.look)
        }
        Some(Word::Schema { of }) => words::schema(of),
        Some(Word::Completions { shell }) => words::completions(shell),
        Some(Word::Man) => words::man(),
        Some(Word::Ps(options)) => look::ps(&options, cli.run),
        Some(Word::Doctor(_)) => words::reserved("doctor"),
    };
    result.unwrap_or_else(|error| exit::failure(&error))
}

/// What gmtrace itself does goes to standard error with `-v`.
fn init_log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .init();
}
