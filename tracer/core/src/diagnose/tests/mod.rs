//! Runs for tests of the rules, built from events.

mod children;
mod content;
mod fallback;
mod local;
mod lost;
mod network;
mod nothing;
mod refusals;
mod requests;
mod waiting;

use super::{Moment, diagnose};
use crate::event::*;
use crate::report::Finding;
use crate::session::Session;
use crate::units::{Nanos, Pid, Tid};

/// The process of the command itself.
pub(super) const ROOT: i32 = 100;

/// A run in the making. Each event happens a step after the one before: a second, unless said.
pub(super) struct Run {
    step: Nanos,
    session: Session,
    settings: GoSettings,
    t: Nanos,
}

impl Run {
    /// `line` was started as process [`ROOT`].
    pub(super) fn of(line: &str) -> Run {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let header = Header {
            r#type: HeaderTag::Header,
            schema: RECORDING_SCHEMA.into(),
            gmtrace: "0.1.0".into(),
            mode: Mode::Launch,
            argv,
            cwd: "/m".into(),
            pid: Pid(ROOT),
            started_at: "2026-01-01T00:00:00.000000000Z".into(),
            host: Host::default(),
            backend: Backend { name: "ptrace".into(), ..Backend::default() },
            stall_after_ns: Nanos::from_secs(5),
        };
        let run = Run {
            step: Nanos::from_secs(1),
            session: Session::new(header),
            settings: GoSettings {
                module: Some(MainModule {
                    go_mod: Some("/m/go.mod".into()),
                    path: Some("corp.example.net/team/app".into()),
                    requires: 1,
                    ..MainModule::default()
                }),
                ..GoSettings::default()
            },
            t: Nanos(0),
        };
        run.starts(ROOT, 1, line)
    }

    /// Process `pid`, a child of `ppid`, runs `line`.
    pub(super) fn starts(self, pid: i32, ppid: i32, line: &str) -> Run {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let role = match argv[0].as_str() {
            "go" => ProcessRole::Go,
            "git" => ProcessRole::Git,
            "ssh" => ProcessRole::Ssh,
            _ => ProcessRole::Other,
        };
        let exe = format!("/usr/bin/{}", argv[0]);
        let exec = Exec { exe, argv, cwd: "/m".into(), role, telemetry: false };
        self.event(pid, What::ProcessStart { ppid: Pid(ppid), ns_pid: None })
            .event(pid, What::Exec(exec))
    }

    /// A setting from the environment.
    pub(super) fn env(mut self, name: &str, value: &str) -> Run {
        let origin = SettingOrigin::Environment;
        self.settings.env.insert(name.into(), Setting { value: value.into(), origin });
        self
    }

    /// A setting that is built in.
    pub(super) fn default(mut self, name: &str, value: &str) -> Run {
        let origin = SettingOrigin::Default;
        self.settings.env.insert(name.into(), Setting { value: value.into(), origin });
        self
    }

    /// The module around the working directory.
    pub(super) fn module(mut self, module: MainModule) -> Run {
        self.settings.module = Some(module);
        self
    }

    /// Something happened in `pid`.
    pub(super) fn event(mut self, pid: i32, what: What) -> Run {
        self.t = self.t.plus(self.step);
        self.session.apply(&Event { t: self.t, pid: Pid(pid), tid: Tid(pid), what });
        self
    }

    /// What follows happens in steps of this length.
    pub(super) fn step(mut self, step: Nanos) -> Run {
        self.step = step;
        self
    }

    /// Nothing happens for a while.
    pub(super) fn passes(mut self, time: Nanos) -> Run {
        self.t = self.t.plus(time);
        self
    }

    /// The command wrote to standard error.
    pub(super) fn says(self, text: &str) -> Run {
        self.process_says(ROOT, text)
    }

    /// `pid` wrote to standard error.
    pub(super) fn process_says(self, pid: i32, text: &str) -> Run {
        let what = What::Output {
            fd: crate::units::Fd(2),
            text: text.into(),
            truncated: false,
            ends_line: text.ends_with('\n'),
        };
        self.event(pid, what)
    }

    /// `pid` ended with this status.
    pub(super) fn exits(self, pid: i32, code: u8) -> Run {
        self.event(pid, What::ProcessExit { exit: Exit::Code(code), cpu_ns: 0 })
    }

    /// A signal that ends `pid`.
    pub(super) fn killed(self, pid: i32, signal: &str) -> Run {
        self.event(pid, What::ProcessExit { exit: Exit::Signal(signal.into()), cpu_ns: 0 })
    }

    /// A snapshot was taken.
    pub(super) fn snapshot(self, snapshot: Snapshot) -> Run {
        self.event(0, What::Snapshot(Box::new(snapshot)))
    }

    /// What is found once the command has ended with `code`.
    pub(super) fn ends(self, code: u8) -> Vec<Finding> {
        self.exits(ROOT, code).over(Exit::Code(code), EndedBy::Exit)
    }

    /// What is found once the command was ended by `signal`.
    pub(super) fn ends_by(self, signal: &str, ended_by: EndedBy) -> Vec<Finding> {
        self.killed(ROOT, signal).over(Exit::Signal(signal.into()), ended_by)
    }

    fn over(self, exit: Exit, ended_by: EndedBy) -> Vec<Finding> {
        let mut run = self.with_settings();
        let end = End {
            r#type: EndTag::End,
            t: run.t,
            exit: Some(exit),
            ended_by: Some(ended_by),
            lost: 0,
        };
        run.session.finish(end);
        well_said(diagnose(&run.session, Moment::End))
    }

    /// What is found while the command stands still.
    pub(super) fn stands_still(self) -> Vec<Finding> {
        well_said(diagnose(&self.with_settings().session, Moment::Stall))
    }

    fn with_settings(self) -> Run {
        let settings = self.settings.clone();
        self.event(ROOT, What::GoSettings(Box::new(settings)))
    }
}

/// What is asked of every message.
fn well_said(found: Vec<Finding>) -> Vec<Finding> {
    for finding in &found {
        let summary = &finding.summary;
        assert!(summary.ends_with('.') && !summary.contains('!'), "{summary}");
        assert!(finding.facts.iter().all(|f| f.label.len() <= 9), "{:?}", finding.facts);
        let rests_on_nothing = finding.evidence.is_empty() && finding.code != "unknown";
        assert!(!rests_on_nothing, "{} rests on nothing", finding.code);
    }
    found
}

/// The codes, in order.
pub(super) fn codes(found: &[Finding]) -> Vec<&str> {
    found.iter().map(|f| f.code.as_str()).collect()
}

/// The commands among the remedies of a finding.
pub(super) fn commands(finding: &Finding) -> Vec<&str> {
    finding.remedies.iter().filter_map(|r| r.command.as_deref()).collect()
}
