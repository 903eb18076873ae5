//! The settings of a go command, computed as cmd/go computes them, and what they say about a connection, a lock or a
//! command that did nothing. Pure: `gmtrace` reads the files, this module knows what they mean.

mod asked;
mod cachepath;
mod command;
mod glob;
mod gomod;
mod goproxy;
mod nothing;
mod resolve;
mod resolver;
mod role;
mod webproxy;

pub use asked::{asked_module, entry_of};
pub use cachepath::{
    CachePath, CachePathKind, ProxyRequest, ProxyRequestKind, escape_path, module_of_lock_path,
    partial_note, proxy_request, unescape_path,
};
pub use command::{GoCommand, split_quoted};
pub use glob::matches_prefix_patterns;
pub use gomod::{
    GoModFile, GoWorkFile, MAX_REQUIRES, go_mod, go_work, modules_txt_is_for_workspace,
};
pub use goproxy::{FallsThrough, ProxyEntry, ProxyKind, SumDb, proxies, proxies_in_order, sumdb};
pub use nothing::why_nothing;
pub use resolve::{
    ALLOWED, EnvFile, Sources, default_goenv, goroot_override, minor_version, parse_environ,
    resolve,
};
pub use resolver::{ResolvConf, ResolverFacts, choose_resolver, resolv_conf};
pub use role::{Connection, EntryRef, RoleGuess, role_of};
pub use webproxy::{WebProxy, web_proxies, web_proxy_for};

use crate::event::Setting;
use std::collections::BTreeMap;

/// The value of a setting, or nothing where it has none.
pub(crate) fn value<'a>(env: &'a BTreeMap<String, Setting>, name: &str) -> Option<&'a str> {
    env.get(name).map(|setting| setting.value.as_str())
}
