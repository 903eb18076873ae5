//! Which go command the scenarios run.

use anyhow::{Context, Result};

use crate::toolchains;
use crate::workspace::Workspace;

/// Debian's, as `GMTRACE_ZOO_GO` calls it, and its release.
const DEBIAN: &str = "debian";
const OF_DEBIAN: &str = "1.19";

/// What `GMTRACE_ZOO_GO` has to be for this version, which is fetched if need be.
pub(super) fn named(workspace: &Workspace, version: &str) -> Result<String> {
    if version == DEBIAN || version == OF_DEBIAN {
        return Ok(DEBIAN.to_owned());
    }
    let release = release(version).with_context(|| {
        let known = toolchains::DEFAULT.join(", ");
        format!("there is no Go {version} for the scenarios; there are {OF_DEBIAN}, {known}")
    })?;
    toolchains::provide(workspace, release)?;
    Ok(release.to_owned())
}

/// `1.27` is `1.27.3`.
fn release(version: &str) -> Option<&'static str> {
    let version = version.strip_prefix("go").unwrap_or(version);
    let is_it = |known: &str| known == version || known.starts_with(&format!("{version}."));
    toolchains::DEFAULT.iter().copied().find(|known| is_it(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minor_release_is_its_newest_patch() {
        assert_eq!(release("1.21"), Some("1.21.13"));
        assert_eq!(release("go1.21.13"), Some("1.21.13"));
        assert_eq!(release("1.2"), None);
        assert_eq!(release("1.21.12"), None);
    }
}
