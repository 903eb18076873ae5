//! The command line, as types.

use clap::builder::{FalseyValueParser, Resettable};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Says what a hung go command is waiting for.
#[derive(Debug, Parser)]
#[command(
    name = "gmtrace",
    version,
    max_term_width = 80,
    override_usage = USAGE,
    after_help = AFTER_HELP,
    after_long_help = AFTER_LONG_HELP,
    subcommand_help_heading = "Words of its own",
    subcommand_value_name = "WORD",
    subcommand_precedence_over_arg = true,
    args_conflicts_with_subcommands = false,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub run: RunOptions,

    /// What to run and watch: everything from the first word that is no option
    #[arg(trailing_var_arg = true, value_name = "COMMAND", hide = true)]
    pub command: Vec<OsString>,

    #[command(flatten)]
    pub attach: AttachOptions,

    #[command(subcommand)]
    pub word: Option<Word>,
}

const USAGE: &str = "gmtrace [OPTIONS] [--] COMMAND [ARGS...]
       gmtrace [OPTIONS] -p PID[,PID...]
       gmtrace ps [OPTIONS]
       gmtrace report [OPTIONS] [RECORDING]
       gmtrace explain [CODE]";

const AFTER_HELP: &str = "Examples:
  gmtrace go mod download -x         run it and watch it
  gmtrace -o run.html -- make test   any command, with a page of what happened
  gmtrace -p 41190                   it hangs already: what is it waiting for?
  gmtrace ps                         all go commands, and what each waits for
  gmtrace report                     the last run that stalled or failed
  gmtrace explain http-silent        what a code means";

const AFTER_LONG_HELP: &str = "Examples:
  gmtrace go mod download -x         run it and watch it
  gmtrace -o run.html -- make test   any command, with a page of what happened
  gmtrace -p 41190                   it hangs already: what is it waiting for?
  gmtrace ps                         all go commands, and what each waits for
  gmtrace report                     the last run that stalled or failed
  gmtrace explain http-silent        what a code means

Options end at the first word that is none: in gmtrace go mod download -x, the
-x is go's. After --, or with a / in it, any word is a command.

DUR is a duration: 90, 90s, 1m30s, 500ms, 2h or 1d.

Variables: every long option but --output, --env and --user has one, such as
GMTRACE_STALL_AFTER=10s. GMTRACE_STATE=off keeps no runs. NO_COLOR is honoured.

Exit status: the command's own. A command killed by a signal ends gmtrace by
the same signal. 124 after a timeout, 137 where SIGKILL was needed, 125 for
gmtrace's own failures, 126 and 127 as env(1). With -p: 0 after a look, 1 where
there was nothing to look into; with --fail-on-stall 3 when it stalls.";

/// Options of a run.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// Speak up when nothing has moved for this long
    ///
    /// Moving is: bytes that arrive or are acknowledged, a lock obtained, a process started or
    /// ended, files that grow, CPU time. 0 is never.
    #[arg(long, value_name = "DUR", allow_negative_numbers = true, default_value = "5s")]
    #[arg(env = "GMTRACE_STALL_AFTER", hide_env = true)]
    pub stall_after: Span,

    /// End the command when nothing has moved for this long
    ///
    /// The report comes first, then SIGTERM. Status 124.
    #[arg(long, value_name = "DUR", allow_negative_numbers = true)]
    #[arg(env = "GMTRACE_STALL_TIMEOUT", hide_env = true)]
    pub stall_timeout: Option<Span>,

    /// End the command after this long, moving or not
    ///
    /// The report comes first, then the signal. Status 124, as timeout(1).
    #[arg(long, value_name = "DUR", allow_negative_numbers = true)]
    #[arg(env = "GMTRACE_TIMEOUT", hide_env = true)]
    pub timeout: Option<Span>,

    /// Send SIGKILL if it still runs this long after the signal
    ///
    /// Status 137 where that was needed.
    #[arg(short, long, value_name = "DUR", allow_negative_numbers = true)]
    #[arg(env = "GMTRACE_KILL_AFTER", hide_env = true)]
    pub kill_after: Option<Span>,

    /// What --timeout sends
    #[arg(long, value_name = "SIG", default_value = "TERM")]
    #[arg(env = "GMTRACE_SIGNAL", hide_env = true)]
    pub signal: Signal,

    /// End with CODE (3) after a run that ended well but stalled
    ///
    /// Replaces status 0 only: a command that fails keeps its own status.
    #[arg(long, value_name = "CODE")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "3")]
    #[arg(env = "GMTRACE_FAIL_ON_STALL", hide_env = true)]
    pub fail_on_stall: Option<u8>,

    /// Write a file; the ending picks what (may repeat)
    ///
    /// .json timeline, .jsonl recording, .html page, .md summary, .pftrace for ui.perfetto.dev,
    /// .trace.json for chrome://tracing. {pid} becomes the command's process id. The timeline is
    /// there from the first stall on, so that a job that is killed still leaves its answer.
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    pub output: Vec<OsString>,

    #[command(flatten)]
    pub look: LookOptions,

    /// Only speak of stalls: no live line, no line at the end
    #[arg(short, long, env = "GMTRACE_QUIET", hide_env = true, help_heading = OUTPUT)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub quiet: bool,

    /// How to watch
    #[arg(long, value_enum, default_value_t, help_heading = WATCHING)]
    #[arg(env = "GMTRACE_BACKEND", hide_env = true)]
    pub backend: BackendChoice,

    /// Stop at every read: 1.3 to 3 times slower
    ///
    /// Gives the exact bytes and times of each connection. Without it they come from the kernel's
    /// TCP counters, sampled.
    #[arg(long, env = "GMTRACE_EXACT_READS", hide_env = true, help_heading = WATCHING)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub exact_reads: bool,

    /// Read no goroutines while the command moves: what that costs is measured with it
    #[arg(long, env = "GMTRACE_NO_SAMPLER", hide_env = true, hide = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub no_sampler: bool,

    /// Watch COMMAND alone, not what it starts
    #[arg(long, env = "GMTRACE_NO_CHILDREN", hide_env = true, help_heading = WATCHING)]
    #[arg(overrides_with = "follow", value_parser = FalseyValueParser::new())]
    pub no_children: bool,

    /// Watch what COMMAND starts too: the default, accepted for strace's sake
    #[arg(short = 'f', hide = true)]
    pub follow: bool,

    /// Set VAR for the command, or take it out (may repeat)
    #[arg(short = 'E', long = "env", value_name = "VAR[=VAL]", help_heading = STARTING)]
    pub env: Vec<OsString>,

    /// Run the command as this user (root only)
    #[arg(short, long, value_name = "USER", help_heading = STARTING)]
    pub user: Option<String>,
}

const ATTACH: &str = "What runs already";
const OUTPUT: &str = "What gmtrace writes";
const WATCHING: &str = "How it watches";
const STARTING: &str = "How the command starts";

/// Options of a look into what runs already.
#[derive(Debug, Args)]
pub struct AttachOptions {
    /// Look into something that hangs already, instead of running a command
    ///
    /// Separated by commas, spaces or newlines: -p "$(pgrep -x go)". Of a shell, make or a CI step, the
    /// go commands below it. The process is neither stopped nor signalled.
    #[arg(short, long, value_name = "PIDS", help_heading = ATTACH, allow_hyphen_values = true)]
    pub pid: Vec<OsString>,

    /// With -p: keep watching, until the process ends or Ctrl-C
    #[arg(long, env = "GMTRACE_WATCH", hide_env = true, help_heading = ATTACH)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub watch: bool,

    /// With -p: keep watching, for this long at most
    #[arg(long, value_name = "DUR", allow_negative_numbers = true, help_heading = ATTACH)]
    #[arg(env = "GMTRACE_DURATION", hide_env = true)]
    pub duration: Option<Span>,

    /// With -p: what goes to standard output
    #[arg(short = 'F', long, value_enum, help_heading = ATTACH)]
    #[arg(env = "GMTRACE_FORMAT", hide_env = true)]
    pub format: Option<Format>,
}

/// How gmtrace talks.
#[derive(Debug, Clone, Args)]
pub struct LookOptions {
    /// When to use colours
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    #[arg(env = "GMTRACE_COLOR", hide_env = true, help_heading = OUTPUT)]
    pub color: ColorChoice,

    /// Say what gmtrace itself does; -vv and -vvv say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = OUTPUT)]
    #[arg(env = "GMTRACE_VERBOSE", hide_env = true)]
    pub verbose: u8,
}

/// gmtrace's own words; after `--`, or with a `/` in it, any word is a command.
#[derive(Debug, Subcommand)]
pub enum Word {
    /// Render a run again, in any format
    ///
    /// Runs that stalled or failed are kept, the last ten, so nobody has to ask for a recording
    /// before the hang. Without RECORDING the last of them is rendered.
    Report(ReportOptions),
    /// What a finding code means; without one, the list
    Explain {
        /// The code, as at the end of a message
        code: Option<String>,
        /// Print the whole catalogue as Markdown
        #[arg(long, conflicts_with = "code")]
        markdown: bool,
    },
    /// Print the JSON Schema of a file
    Schema {
        /// Of which file
        #[arg(value_name = "FILE")]
        of: SchemaOf,
    },
    /// Print a completion script for a shell
    ///
    /// For bash: gmtrace completions bash > ~/.local/share/bash-completion/completions/gmtrace
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page: gmtrace man | man -l -
    Man,
    /// The go commands that run on this machine, and what each waits for
    ///
    /// They are looked at twice, half a second apart.
    Ps(PsOptions),
    /// Check this machine (not in this version)
    #[command(hide = true)]
    Doctor(Reserved),
}

/// Whatever is written after a word that this version does not have.
#[derive(Debug, Args)]
pub struct Reserved {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

/// Options of `gmtrace ps`.
#[derive(Debug, Args)]
pub struct PsOptions {
    /// How to print it
    #[arg(short = 'F', long, value_enum, default_value_t)]
    pub format: PsFormat,
}

/// A way to print the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PsFormat {
    /// For people
    #[default]
    Text,
    /// For programs: see gmtrace schema ps
    Json,
}

/// Options of `gmtrace report`.
#[derive(Debug, Args)]
pub struct ReportOptions {
    /// A recording (.jsonl), or - for standard input
    pub recording: Option<PathBuf>,

    /// List the kept runs
    #[arg(long, conflicts_with = "recording")]
    pub list: bool,

    /// Replace hosts, paths, users and module names, for a bug report
    #[arg(long)]
    pub anonymize: bool,

    /// Write a file, or - for standard output (may repeat)
    ///
    /// The ending picks what: .json timeline, .jsonl recording, .html page, .md summary, .pftrace
    /// for ui.perfetto.dev, .trace.json for chrome://tracing.
    #[arg(short, long, value_name = "FILE")]
    pub output: Vec<OsString>,

    /// What goes to standard output
    #[arg(short = 'F', long, value_enum)]
    pub format: Option<Format>,
}

/// A way to write a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// The timeline
    Json,
    /// The recording
    Jsonl,
    /// One page
    Html,
    /// For ui.perfetto.dev
    Perfetto,
    /// For chrome://tracing
    Chrome,
    /// For a CI summary
    Markdown,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// A recording (.jsonl), line by line
    Recording,
    /// A timeline (.json)
    Timeline,
    /// What gmtrace ps -F json prints
    Ps,
}

/// How to watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// The best that is permitted here
    #[default]
    Auto,
    /// By programs in the kernel: stops nothing; for root, or with CAP_BPF and CAP_PERFMON
    Ebpf,
    /// Stop the command at rare system calls
    Ptrace,
    /// Only look into /proc: sees less, stops nothing
    Proc,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A duration: `ms s m h d` and combinations (`1m30s`); a bare number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let bad = || format!("'{text}' is no duration: write 90, 90s, 1m30s, 500ms, 2h or 1d");
        if let Ok(seconds) = text.parse::<f64>() {
            return Duration::try_from_secs_f64(seconds).map(Span).map_err(|_| bad());
        }
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let unit = match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return Err(bad()),
            };
            let number: f64 = number.parse().map_err(|_| bad())?;
            let part = Duration::try_from_secs_f64(number * unit).map_err(|_| bad())?;
            total = total.checked_add(part).ok_or_else(bad)?;
            rest = tail;
        }
        if text.is_empty() { Err(bad()) } else { Ok(Span(total)) }
    }
}

/// A signal: `TERM`, `SIGTERM` or `15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Signal, String> {
        if let Ok(number) = text.parse::<i32>() {
            return match number {
                1..=64 => Ok(Signal(number)),
                _ => Err(format!("{number} is no signal: 1 to 64")),
            };
        }
        let name = text.to_ascii_uppercase();
        let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
        nix::sys::signal::Signal::from_str(&name)
            .map(|s| Signal(s as i32))
            .map_err(|_| format!("'{text}' is no signal: write TERM, SIGTERM or 15"))
    }
}

impl Cli {
    /// Reads the command line and the variables. A variable that is empty is one that is not set.
    ///
    /// # Errors
    /// Usage errors, and what is asked for by `--help` and `--version`.
    pub fn read() -> Result<Cli, clap::Error> {
        Cli::read_from(std::env::args_os(), &|name| std::env::var_os(name))
    }

    fn read_from(
        words: impl IntoIterator<Item = OsString>,
        variable: &dyn Fn(&OsStr) -> Option<OsString>,
    ) -> Result<Cli, clap::Error> {
        let is_empty = |arg: &clap::Arg| {
            arg.get_env().is_some_and(|name| variable(name).is_some_and(|v| v.is_empty()))
        };
        let mut definition = definition()
            .mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg });
        let mut matches = definition.try_get_matches_from_mut(words)?;
        if let Some(why) = unfit(&matches) {
            return Err(definition.error(ErrorKind::ArgumentConflict, why));
        }
        Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut definition))
    }
}

/// Options that are about a command that gmtrace starts, and what to use with `-p` instead.
const OF_A_COMMAND: [(&str, &str, &str); 10] = [
    ("timeout", "--timeout", "to stop looking, --duration"),
    ("stall_timeout", "--stall-timeout", "gmtrace ends nothing that it did not start"),
    ("kill_after", "--kill-after", "gmtrace ends nothing that it did not start"),
    ("signal", "--signal", "gmtrace signals nothing that it did not start"),
    ("backend", "--backend", "what runs already is only read, by /proc"),
    ("exact_reads", "--exact-reads", "what runs already is never stopped"),
    ("no_children", "--no-children", "all that runs below the process is looked at"),
    ("follow", "-f", "all that runs below the process is looked at anyway"),
    ("env", "--env", "what runs already keeps its environment"),
    ("user", "--user", "to look as another user: sudo -u USER gmtrace -p PID"),
];

/// Why these options do not go together.
fn unfit(matches: &clap::ArgMatches) -> Option<String> {
    let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    if !typed("pid") {
        let only = [("watch", "--watch"), ("duration", "--duration"), ("format", "-F")];
        let (_, option) = only.into_iter().find(|(id, _)| typed(id))?;
        // The words of its own have their own.
        return matches.subcommand_name().is_none().then(|| match option {
            "-F" => {
                "-F: standard output belongs to the command; write to a file, as in -o run.json"
                    .to_owned()
            }
            _ => format!("{option} is for what runs already: gmtrace -p PID {option}"),
        });
    }
    if typed("command") || matches.subcommand_name().is_some() {
        return Some(
            "-p looks into what runs already: give -p PID or a command, not both".to_owned(),
        );
    }
    let (_, option, instead) = OF_A_COMMAND.into_iter().find(|(id, ..)| typed(id))?;
    Some(format!("{option} is for a command that gmtrace starts; with -p, {instead}"))
}

/// The command line as clap knows it, for help, completions and the manual page.
pub fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units_and_combinations() {
        let secs = |text: &str| text.parse::<Span>().map(|s| s.0.as_secs_f64());
        assert_eq!(secs("5"), Ok(5.0));
        assert_eq!(secs("0"), Ok(0.0));
        assert_eq!(secs("0.5"), Ok(0.5));
        assert_eq!(secs("1m30s"), Ok(90.0));
        assert_eq!(secs("250ms"), Ok(0.25));
        assert_eq!(secs("1d2h"), Ok(93_600.0));
        for bad in ["", "s", "5x", "1m30", "-1", "NaN", "inf", "1e400", "5 s"] {
            assert!(secs(bad).is_err(), "{bad:?} is no duration");
        }
    }

    #[test]
    fn signals_take_names_and_numbers() {
        assert_eq!("TERM".parse(), Ok(Signal(15)));
        assert_eq!("sigint".parse(), Ok(Signal(2)));
        assert_eq!("9".parse(), Ok(Signal(9)));
        assert!("0".parse::<Signal>().is_err());
        assert!("NOPE".parse::<Signal>().is_err());
    }

    fn parse(words: &[&str]) -> Cli {
        Cli::try_parse_from(std::iter::once(&"gmtrace").chain(words)).unwrap()
    }

    #[test]
    fn parsing_stops_at_the_first_word_that_is_no_option() {
        let cli = parse(&["-q", "go", "mod", "download", "-x", "--help"]);
        assert_eq!(cli.command, ["go", "mod", "download", "-x", "--help"]);
        assert!(cli.run.quiet);
    }

    #[test]
    fn after_two_dashes_any_word_is_a_command() {
        let cli = parse(&["--", "report", "-q"]);
        assert_eq!(cli.command, ["report", "-q"]);
        assert!(cli.word.is_none() && !cli.run.quiet);
        let cli = parse(&["./report"]);
        assert_eq!(cli.command, ["./report"]);
    }

    #[test]
    fn an_unknown_option_is_an_error_and_no_command() {
        assert!(Cli::try_parse_from(["gmtrace", "--no-such-option", "--", "true"]).is_err());
        assert!(Cli::try_parse_from(["gmtrace", "-Z", "true"]).is_err());
    }

    #[test]
    fn own_words_are_words() {
        assert!(matches!(parse(&["report"]).word, Some(Word::Report(_))));
        assert!(matches!(parse(&["-q", "explain", "dns-silent"]).word, Some(Word::Explain { .. })));
        assert_eq!(parse(&["go", "report"]).command, ["go", "report"]);
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let words = || ["gmtrace", "true"].map(OsString::from);
        let stated = definition().get_arguments().filter_map(|a| a.get_env()).count();
        assert!(stated > 10, "every long option has a variable");
        let cli = Cli::read_from(words(), &|_| Some(OsString::new())).unwrap();
        assert_eq!(cli.run.stall_after, Span(Duration::from_secs(5)));
        assert!(!cli.run.quiet && cli.run.timeout.is_none());
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }
}
