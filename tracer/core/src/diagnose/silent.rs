//! What the rules share about commands that download nothing, although they ended at once.

use super::draft::Draft;
use super::said;
use super::scene::Scene;
use crate::event::{Exit, ProcessRole, SettingOrigin};
use crate::report::FindingState;
use crate::session::Process;
use crate::settings;
use crate::units::{Nanos, Pid};

/// A reason to do nothing.
pub(super) struct Reason {
    /// The code.
    pub(super) code: &'static str,
    /// What go says where it takes this for an error.
    pub(super) words: &'static [&'static str],
    /// One sentence.
    pub(super) summary: &'static str,
    /// The setting it hangs on.
    pub(super) setting: Option<&'static str>,
}

/// The go command that did nothing for this reason, as a finding in the making: a failure where go says so as it fails, a notice
/// where it ended well and the settings say so.
pub(super) fn draft<'a, 's>(scene: &'s Scene<'a>, reason: &Reason) -> Option<Draft<'a, 's>> {
    if !scene.has_failed() && !scene.has_succeeded() {
        return None;
    }
    let ended = scene.session.ended.iter();
    let mut commands = ended.filter(|p| p.role() == ProcessRole::Go && !p.is_telemetry());
    commands.find_map(|process| of_process(scene, process, reason))
}

fn of_process<'a, 's>(
    scene: &'s Scene<'a>,
    process: &Process,
    reason: &Reason,
) -> Option<Draft<'a, 's>> {
    let pid = process.pid;
    let line = line(scene, process, reason);
    let ended = process.ended.unwrap_or(scene.now);
    let t = line.map_or(ended, |(t, _)| t);
    let made = Draft::new(scene, reason.code, pid, t, reason.summary.to_owned())
        .fact("setting", setting(scene, pid, reason));
    let made = match line {
        Some((t, text)) => {
            let made = made.seen(text.to_owned(), t, "stderr");
            match said::module_in(text) {
                Some(module) => made.modules(vec![module]),
                None => made,
            }
        }
        None => made.evidence("go.mod and the settings say so", ended, "go-settings"),
    };
    match process.exit {
        Some(Exit::Code(0)) => {
            let by_settings = || {
                let settings = scene.session.settings_for(pid)?;
                settings::why_nothing(&scene.session.argv(pid), settings)
            };
            (line.is_some() || by_settings() == Some(reason.code))
                .then(|| made.state(FindingState::Notice))
        }
        // A command that failed for another reason is not explained by what it would not have done anyway.
        Some(_) if line.is_some() && scene.has_failed() => Some(made.state(FindingState::Failed)),
        _ => None,
    }
}

fn line<'a>(scene: &Scene<'a>, process: &Process, reason: &Reason) -> Option<(Nanos, &'a str)> {
    let mut lines = scene.session.output.of(process.pid);
    lines.find(|(_, line)| !line.starts_with('#') && reason.words.iter().any(|w| line.contains(w)))
}

/// `GO111MODULE=off, from the environment`: a setting, and where it was set.
fn setting(scene: &Scene<'_>, pid: Pid, reason: &Reason) -> Option<String> {
    let name = reason.setting?;
    let setting = scene.session.settings_for(pid)?.env.get(name)?;
    Some(format!("{name}={}, from {}", setting.value, setting.origin))
}

/// The command that takes a setting back to its default, where it was set.
pub(super) fn unset(scene: &Scene<'_>, name: &str) -> String {
    let root = scene.session.root();
    let setting = scene.session.settings_for(root).and_then(|s| s.env.get(name));
    match setting.map(|s| s.origin) {
        Some(SettingOrigin::GoenvFile) => format!("go env -u {name}"),
        _ => format!("unset {name}"),
    }
}
