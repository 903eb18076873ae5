//! Which resolver a go command uses, and the resolvers it asks.

use super::EnvFile;
use crate::event::GoResolver;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What of `/etc/resolv.conf` matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// At most three: neither Go nor libc asks more (net/dnsconfig_unix.go, resolv.conf(5) MAXNS).
    pub nameservers: Vec<String>,
    /// The search list, without trailing dots.
    pub search: Vec<String>,
    /// Whether it holds an option Go does not know, for which it leaves the question to libc.
    pub unknown_option: bool,
}

/// Reads `/etc/resolv.conf` as Go does (net/dnsconfig_unix.go, dnsReadConfig).
pub fn resolv_conf(text: &str) -> ResolvConf {
    let mut conf = ResolvConf::default();
    for line in text.lines().filter(|line| !line.starts_with([';', '#'])) {
        let mut words = line.split_ascii_whitespace();
        let Some(keyword) = words.next() else { continue };
        match keyword {
            "nameserver" => conf.add_nameserver(words.next().unwrap_or_default()),
            "domain" => {
                if let Some(domain) = words.next() {
                    conf.search = vec![unrooted(domain)];
                }
            }
            "search" => conf.search = words.take(64).map(unrooted).collect(),
            "options" => conf.unknown_option |= !words.all(is_known_option),
            _ => conf.unknown_option = true,
        }
    }
    conf.search.retain(|domain| !domain.is_empty());
    conf
}

impl ResolvConf {
    fn add_nameserver(&mut self, word: &str) {
        let address = word.split('%').next().unwrap_or_default();
        if self.nameservers.len() < 3 && address.parse::<IpAddr>().is_ok() {
            self.nameservers.push(word.to_owned());
        }
    }
}

fn unrooted(domain: &str) -> String {
    domain.strip_suffix('.').unwrap_or(domain).to_owned()
}

fn is_known_option(option: &str) -> bool {
    ["ndots:", "timeout:", "attempts:"].iter().any(|prefix| option.starts_with(prefix))
        || matches!(
            option,
            "rotate"
                | "single-request"
                | "single-request-reopen"
                | "use-vc"
                | "usevc"
                | "tcp"
                | "trust-ad"
                | "edns0"
                | "no-reload"
        )
}

/// What decides between Go's resolver and libc's.
#[derive(Debug, Clone, Copy)]
pub struct ResolverFacts<'a> {
    /// Whether the binary can call libc's getaddrinfo; none where it could not be read.
    pub has_getaddrinfo: Option<bool>,
    /// The environment of the process.
    pub environment: &'a BTreeMap<String, String>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: EnvFile<'a>,
    /// `/etc/nsswitch.conf`.
    pub nsswitch: EnvFile<'a>,
}

/// Who resolves names, and why (net/conf.go, lookupOrder). None where a fact that decides could not be read.
pub fn choose_resolver(facts: &ResolverFacts<'_>) -> Option<GoResolver> {
    let answer = |kind: &str, why: String| Some(GoResolver { kind: kind.to_owned(), why });
    if !facts.has_getaddrinfo? {
        return answer("go", "the binary was built without libc".to_owned());
    }
    match netdns(facts.environment).as_deref() {
        Some("go") => return answer("go", "GODEBUG=netdns=go".to_owned()),
        Some("cgo") => return answer("cgo", "GODEBUG=netdns=cgo".to_owned()),
        _ => {}
    }
    if let Some(name) = libc_variable(facts.environment) {
        return answer("cgo", format!("{name} is set, which only libc understands"));
    }
    match facts.resolv_conf {
        EnvFile::Unknown => return None,
        EnvFile::Text(text) if resolv_conf(text).unknown_option => {
            return answer("cgo", "resolv.conf has an option that Go does not know".to_owned());
        }
        _ => {}
    }
    match facts.nsswitch {
        EnvFile::Unknown => None,
        EnvFile::Absent => answer("go", "there is no nsswitch.conf".to_owned()),
        EnvFile::Text(text) => match hosts_source_for_libc(text) {
            Some(why) => answer("cgo", why),
            None => answer("go", "nsswitch.conf asks for nothing but files and dns".to_owned()),
        },
    }
}

/// The resolver that GODEBUG asks for: `netdns=go`, `netdns=cgo+1`, `netdns=2+go` (net.goDebugNetDNS). Of a key given
/// twice the last counts (internal/godebug).
fn netdns(environment: &BTreeMap<String, String>) -> Option<String> {
    let value = environment
        .get("GODEBUG")?
        .split(',')
        .rev()
        .find_map(|entry| entry.strip_prefix("netdns="))?;
    let modes = value.splitn(2, '+').filter(|part| !part.starts_with(|c: char| c.is_ascii_digit()));
    modes.filter(|part| !part.is_empty()).last().map(str::to_owned)
}

/// The variable that makes Go leave the question to libc (net.initConfVal).
fn libc_variable(environment: &BTreeMap<String, String>) -> Option<&'static str> {
    let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    if environment.contains_key("LOCALDOMAIN") {
        return Some("LOCALDOMAIN");
    }
    ["RES_OPTIONS", "HOSTALIASES"].into_iter().find(|name| set(name))
}

/// Why the `hosts` line of nsswitch.conf leaves an ordinary name to libc; none where Go can do it alone. `myhostname` and
/// `mdns*` concern names of this machine and `.local` only.
fn hosts_source_for_libc(text: &str) -> Option<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let sources: String = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(database, _)| database.trim() == "hosts")
        .map(|(_, sources)| format!("{sources} "))
        .collect();
    let mut rest = sources.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', '[']).unwrap_or(rest.len());
        let (source, after) = rest.split_at(end);
        let after = after.trim_start();
        let criteria = after.strip_prefix('[').and_then(|block| block.split_once(']'));
        let (criteria, next) = match criteria {
            Some((inside, next)) => (Some(inside), next),
            None if after.starts_with('[') => {
                return Some("nsswitch.conf is malformed".to_owned());
            }
            None => (None, after),
        };
        match source {
            "files" | "dns" if criteria.is_none_or(is_standard) => {}
            "files" | "dns" => {
                return Some(format!("nsswitch.conf has special rules after \"{source}\""));
            }
            "myhostname" => {}
            _ if source.starts_with("mdns") => {}
            _ => return Some(format!("nsswitch.conf names \"{source}\", which Go cannot ask")),
        }
        rest = next.trim_start();
    }
    None
}

/// Whether a block of criteria says what would hold without it (net/nss.go, standardStatusAction).
fn is_standard(criteria: &str) -> bool {
    let all: Vec<String> = criteria.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    all.iter().enumerate().all(|(at, criterion)| {
        let last = at + 1 == all.len();
        match criterion.split_once('=') {
            Some(("success", action)) => action == "return",
            Some(("notfound" | "unavail" | "tryagain", action)) => {
                action == "continue" || (last && action == "return")
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(
        has_getaddrinfo: Option<bool>,
        environment: &[(&str, &str)],
        resolv_conf: &str,
        nsswitch: EnvFile<'_>,
    ) -> Option<String> {
        let environment =
            environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let facts = ResolverFacts {
            has_getaddrinfo,
            environment: &environment,
            resolv_conf: EnvFile::Text(resolv_conf),
            nsswitch,
        };
        choose_resolver(&facts).map(|resolver| resolver.kind)
    }

    #[test]
    fn a_static_binary_asks_by_itself() {
        let cgo = [("GODEBUG", "netdns=cgo")];
        assert_eq!(choose(Some(false), &cgo, "", EnvFile::Absent).as_deref(), Some("go"));
    }

    #[test]
    fn a_cgo_binary_asks_libc_only_for_a_reason() {
        let plain = EnvFile::Text("passwd: files\nhosts: files dns # x\n");
        for (environment, resolv_conf, nsswitch, expected) in [
            (vec![], "", plain, "go"),
            (vec![], "", EnvFile::Absent, "go"),
            (vec![("GODEBUG", "x=1,netdns=cgo+1")], "", plain, "cgo"),
            (vec![("GODEBUG", "netdns=2+go"), ("LOCALDOMAIN", "")], "", plain, "go"),
            (vec![("GODEBUG", "netdns=1"), ("LOCALDOMAIN", "")], "", plain, "cgo"),
            (vec![("RES_OPTIONS", "")], "", plain, "go"),
            (vec![("RES_OPTIONS", "rotate")], "", plain, "cgo"),
            (vec![], "options inet6", plain, "cgo"),
            (vec![], "sortlist 10.0.0.0", plain, "cgo"),
            (vec![], "", EnvFile::Text("hosts: files resolve [!UNAVAIL=return] dns"), "cgo"),
            (vec![], "", EnvFile::Text("hosts: files mdns4_minimal [NOTFOUND=return] dns"), "go"),
            (vec![], "", EnvFile::Text("hosts: files [NOTFOUND=return] dns"), "go"),
            (vec![], "", EnvFile::Text("hosts: files [!NOTFOUND=return] dns"), "cgo"),
            (vec![], "", EnvFile::Text("hosts: dns myhostname"), "go"),
            (vec![], "", EnvFile::Text("hosts: files ["), "cgo"),
        ] {
            let got = choose(Some(true), &environment, resolv_conf, nsswitch);
            assert_eq!(
                got.as_deref(),
                Some(expected),
                "{environment:?} {resolv_conf} {nsswitch:?}"
            );
        }
    }

    #[test]
    fn what_was_not_read_decides_nothing() {
        assert_eq!(choose(None, &[], "", EnvFile::Absent), None);
        assert_eq!(choose(Some(true), &[], "", EnvFile::Unknown), None);
    }

    #[test]
    fn resolv_conf_is_read_as_go_reads_it() {
        let conf = resolv_conf(
            "# c\nnameserver 192.0.2.1\nnameserver host\nnameserver fe80::1%eth0\nnameserver 192.0.2.3\n\
             nameserver 192.0.2.4\ndomain a.example.com\nsearch b.example.com. c.example.com .\n\
             options ndots:5 timeout:x edns0\n",
        );
        assert_eq!(conf.nameservers, ["192.0.2.1", "fe80::1%eth0", "192.0.2.3"]);
        assert_eq!(conf.search, ["b.example.com", "c.example.com"]);
        assert!(!conf.unknown_option);
        assert_eq!(resolv_conf("\0\u{fffd}").nameservers, Vec::<String>::new());
    }
}
