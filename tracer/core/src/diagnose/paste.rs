//! Commands that work as pasted.

use super::scene::Scene;
use crate::event::SettingOrigin;
use crate::redact::MARK;
use crate::units::Pid;

/// A word for a shell, in quotes where it needs them.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The command that gives a setting a value for good, where it is set now: `go env -w` loses to the environment
/// (cmd/go/internal/cfg, EnvOrAndChanged).
pub(super) fn set(scene: &Scene<'_>, pid: Pid, name: &str, value: &str) -> String {
    let setting = scene.session.settings_for(pid).and_then(|s| s.env.get(name));
    let value = word(value);
    match setting.map(|s| s.origin) {
        Some(SettingOrigin::Environment) => format!("export {name}={value}"),
        _ => format!("go env -w {name}={value}"),
    }
}

/// The value a setting has; none where it has none.
pub(super) fn value<'a>(scene: &Scene<'a>, pid: Pid, name: &str) -> Option<&'a str> {
    let setting = scene.session.settings_for(pid)?.env.get(name)?;
    Some(setting.value.as_str()).filter(|v| !v.is_empty())
}

/// Whether credentials were taken out of a text, so that it does not work as pasted.
pub(super) fn is_redacted(text: &str) -> bool {
    text.contains(MARK)
}
