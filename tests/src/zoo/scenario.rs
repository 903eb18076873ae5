//! One description of a scenario, and a test of it for each way of looking.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, ensure};
use nix::unistd::geteuid;

use super::hang::Hang;
use super::row::Row;
use super::watched::stall_after;
use super::{hang, watch_by_with};
use crate::cgroup::{Controller, Group};
use crate::go::{Go, GoCommand};

/// Makes the tests of a scenario: `NAME::ptrace` and `NAME::ebpf` launch its command under gmtrace, `NAME::attach` comes when it
/// hangs already. The scenario is the function NAME; its name begins with the number of its row, where it has one.
///
/// ```ignore
/// scenario!(n16_a_request_is_not_answered(way));
/// fn n16_a_request_is_not_answered(way: &Way) -> Result<()> { ... }
///
/// scenario!(n8_packets_are_dropped(way, lab)); // in a network of its own
/// fn n8_packets_are_dropped(way: &Way, lab: &Lab) -> Result<()> { ... }
///
/// scenario!(n20_the_connection_is_cut(way), which ends); // before anyone could attach
/// scenario!(a_dead_disk_under_the_state_directory(way, lab), launch only: "a look keeps no state");
/// scenario!(s16_what_the_answer_needs_is_lost(way), ebpf only: "nobody else has a ring that overflows");
/// scenario!(h7_a_server_is_idle(way), missed by launch: "what is said instead");
/// ```
///
/// What is missed is left out of `cargo test`, and stays in the table of `cargo xtask zoo` as what it is: wrong.
#[macro_export]
macro_rules! scenario {
    ($name:ident $given:tt) => {
        mod $name {
            $crate::scenario!(@test () ptrace Ptrace $name $given);
            $crate::scenario!(@test () ebpf Ebpf $name $given);
            $crate::scenario!(@test () attach Attach $name $given);
        }
    };
    ($name:ident $given:tt, missed by launch: $why:literal) => {
        mod $name {
            $crate::scenario!(@test ($why) ptrace Ptrace $name $given);
            $crate::scenario!(@test ($why) ebpf Ebpf $name $given);
            $crate::scenario!(@test () attach Attach $name $given);
        }
    };
    ($name:ident $given:tt, missed by ebpf: $why:literal) => {
        mod $name {
            $crate::scenario!(@test () ptrace Ptrace $name $given);
            $crate::scenario!(@test ($why) ebpf Ebpf $name $given);
            $crate::scenario!(@test () attach Attach $name $given);
        }
    };
    ($name:ident $given:tt, missed by attach: $why:literal) => {
        mod $name {
            $crate::scenario!(@test () ptrace Ptrace $name $given);
            $crate::scenario!(@test () ebpf Ebpf $name $given);
            $crate::scenario!(@test ($why) attach Attach $name $given);
        }
    };
    ($name:ident $given:tt, which ends) => {
        $crate::scenario!($name $given, launch only: "the command has ended before anyone could attach");
    };
    ($name:ident $given:tt, launch only: $why:literal) => {
        mod $name {
            $crate::scenario!(@test () ptrace Ptrace $name $given);
            $crate::scenario!(@test () ebpf Ebpf $name $given);
            $crate::scenario!(@left_out $why attach Attach);
        }
    };
    ($name:ident $given:tt, ebpf only: $why:literal) => {
        mod $name {
            $crate::scenario!(@left_out $why ptrace Ptrace);
            $crate::scenario!(@test () ebpf Ebpf $name $given);
            $crate::scenario!(@left_out $why attach Attach);
        }
    };
    (@left_out $why:literal $test:ident $looking:ident) => {
        #[test]
        #[ignore = $why]
        fn $test() -> $crate::zoo::Outcome {
            $crate::scenario!(@trial () $looking).leave_out($why)
        }
    };
    (@test ($($missed:literal)?) $test:ident $looking:ident $name:ident (way)) => {
        #[test]
        $(#[ignore = $missed])?
        fn $test() -> $crate::zoo::Outcome {
            $crate::scenario!(@trial ($($missed)?) $looking)
                .run(|trial| trial.judge(super::$name))
        }
    };
    (@test ($($missed:literal)?) $test:ident $looking:ident $name:ident (way, lab)) => {
        #[test]
        $(#[ignore = $missed])?
        fn $test() -> $crate::zoo::Outcome {
            $crate::scenario!(@trial ($($missed)?) $looking).run(|trial| {
                $crate::lab::isolated(|lab| trial.judge(|way| super::$name(way, lab)))
            })
        }
    };
    (@trial ($($missed:literal)?) $looking:ident) => {
        $crate::zoo::Trial::new(module_path!(), $crate::zoo::Looking::$looking)$(.missed($missed))?
    };
}

/// How a test ends.
pub type Outcome = Result<()>;

/// How gmtrace comes to see a hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looking {
    /// It starts the command, and stops it at some system calls.
    Ptrace,
    /// It starts the command, and has programs in the kernel.
    Ebpf,
    /// It comes when the command hangs already, and reads `/proc`.
    Attach,
}

impl Looking {
    /// As in the names of tests: `ptrace`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ptrace => "ptrace",
            Self::Ebpf => "ebpf",
            Self::Attach => "attach",
        }
    }
}

/// A scenario in one way of looking.
#[derive(Debug)]
pub struct Trial {
    test: &'static str,
    looking: Looking,
    missed: Option<&'static str>,
}

impl Trial {
    /// Of the module that the scenario's tests are in.
    pub fn new(module: &'static str, looking: Looking) -> Self {
        Self {
            test: module.split_once("::").map_or(module, |(_, path)| path),
            looking,
            missed: None,
        }
    }

    /// One that gmtrace is known to get wrong, and what it says instead.
    #[must_use]
    pub fn missed(self, why: &'static str) -> Self {
        Self { missed: Some(why), ..self }
    }

    /// Runs it, unless nobody can look in this way here.
    ///
    /// # Errors
    /// Those of the scenario.
    pub fn run(&self, scenario: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        match self.looking == Looking::Ebpf && !may_use_ebpf() {
            true => self.judge(|way| way.skip("eBPF needs root and /sys/kernel/btf/vmlinux")),
            false => scenario(self),
        }
    }

    /// Writes down why nobody can look in this way.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn leave_out(&self, why: &str) -> Result<()> {
        Row::new(self.test, self.looking, self.missed).leave_out(why)
    }

    /// Runs it, and writes down what became of it, also where it panics.
    ///
    /// # Errors
    /// Those of the scenario; and when it has expected nothing of anybody.
    pub fn judge(&self, scenario: impl FnOnce(&Way) -> Result<()>) -> Result<()> {
        let row = Rc::new(Row::new(self.test, self.looking, self.missed));
        let way = Way { looking: self.looking, row: Some(Rc::clone(&row)) };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            scenario(&way)?;
            ensure!(row.is_skipped() || row.has_verdict(), "nothing was expected of any answer");
            Ok(())
        }));
        row.write(&outcome)?;
        row.say_failure(&outcome)?;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Whether the kernel may be asked at all; what it answers then is the scenario's matter.
fn may_use_ebpf() -> bool {
    geteuid().is_root() && Path::new("/sys/kernel/btf/vmlinux").exists()
}

/// The way of looking, for a scenario to start its command with.
#[derive(Debug)]
pub struct Way {
    looking: Looking,
    row: Option<Rc<Row>>,
}

impl Way {
    /// One for tests that are no scenarios.
    pub fn by(looking: Looking) -> Self {
        Self { looking, row: None }
    }

    /// Whether gmtrace starts the command.
    pub fn launches(&self) -> bool {
        self.looking != Looking::Attach
    }

    /// Starts a command: under gmtrace, which speaks up after a second, or alone, to be attached to.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn run(&self, command: GoCommand) -> Result<Hang> {
        self.run_with(command, ["--stall-after", stall_after().as_str()])
    }

    /// Starts a command that has no end by itself: gmtrace ends it after this time, or whoever looked at it.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn run_for(&self, time: &str, command: GoCommand) -> Result<Hang> {
        self.run_with(command, ["--stall-after", stall_after().as_str(), "--timeout", time])
    }

    /// Starts a command, with these options where gmtrace starts it.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn run_with<S: AsRef<str>>(
        &self,
        command: GoCommand,
        options: impl IntoIterator<Item = S>,
    ) -> Result<Hang> {
        match self.looking {
            Looking::Attach => Ok(Hang::alone(hang(command)?, self.row.clone())),
            by => {
                let watched = watch_by_with(by.name(), command, options)?;
                Ok(Hang::watched(watched, self.row.clone()))
            }
        }
    }

    /// Says why the scenario is not run here.
    ///
    /// # Errors
    /// When it cannot be said.
    pub fn skip(&self, why: &str) -> Result<()> {
        if let Some(row) = &self.row {
            row.skip(why);
        }
        // Not by eprintln!, whose words libtest keeps for those who fail.
        Ok(writeln!(std::io::stderr(), "skipped: {why}")?)
    }

    /// The go command of the scenarios, where it has `what`, which came with Go 1.`minor`. Where it has not, the scenario is
    /// skipped.
    ///
    /// # Errors
    /// When there is no go, or it does not say what it is.
    pub fn go_with(&self, what: &str, minor: u32) -> Result<Option<Go>> {
        let go = super::go()?;
        if go.minor()? >= minor {
            return Ok(Some(go));
        }
        self.skip(&format!("{what} came with Go 1.{minor}, and this is {}", go.says()?))?;
        Ok(None)
    }

    /// A control group with this controller. Where there can be none, the scenario is skipped.
    ///
    /// # Errors
    /// As [`Group::with`].
    pub fn group(&self, controller: Controller) -> Result<Option<Group>> {
        let group = Group::with(controller)?;
        if group.is_none() {
            self.skip(&format!("no control group with {controller:?} may be made here"))?;
        }
        Ok(group)
    }
}
