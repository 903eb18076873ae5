//! Which name stands for which: words, hosts, addresses.

use super::known;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// More names than this are not told apart: memory stays bounded on a recording of any length.
const MOST: usize = 200_000;

/// What was replaced so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    words: HashMap<String, String>,
    counts: HashMap<&'static str, usize>,
    v4: HashMap<Ipv4Addr, Ipv4Addr>,
    v6: HashMap<Ipv6Addr, Ipv6Addr>,
}

impl Names {
    /// The made-up name of a word, whatever place it is met in: `kind` is only for the reader.
    pub(super) fn word(&mut self, kind: &'static str, word: &str) -> String {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        if self.words.len() >= MOST {
            return kind.to_owned();
        }
        let name = match known::is_hash(word) {
            true => format!("{:0width$}", self.words.len() + 1, width = word.len()),
            false => {
                let count = self.counts.entry(kind).or_default();
                *count += 1;
                format!("{kind}{count}")
            }
        };
        self.words.insert(word.to_owned(), name.clone());
        name
    }

    /// A user's name.
    pub(super) fn user(&mut self, user: &str) -> String {
        let of_everybody = ["git", "root", "nobody", "runner", "xxxxx", "", "~"].contains(&user);
        if of_everybody { user.to_owned() } else { self.word("user", user) }
    }

    /// A host, label by label, so that search lists and `*.example.com` still match: `git.corp.net` and `corp.net` become
    /// `host2.host1.example` and `host1.example`.
    pub(super) fn host(&mut self, host: &str) -> String {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let ip = self.ip(ip).to_string();
            return if host.starts_with('[') { format!("[{ip}]") } else { ip };
        }
        let lower = host.to_ascii_lowercase();
        if let Some(name) = lower.strip_suffix('.').filter(|n| !n.is_empty()) {
            return format!("{}.", self.host(name));
        }
        if known::is_public(&lower) {
            return lower;
        }
        if let Some((public, rest)) = known::public_prefix(&lower) {
            return format!("{public}.{}", self.host(rest));
        }
        match lower.rsplit_once('.') {
            None => self.label(&lower, lower.clone()),
            Some((above, top)) => match above.rsplit_once('.') {
                // corp.com and corp.net are two.
                None => format!("{}.example", self.label(above, format!("{above}.{top}"))),
                Some((above, domain)) => {
                    let domain = self.label(domain, format!("{domain}.{top}"));
                    let above: Vec<String> =
                        above.split('.').map(|l| self.label(l, l.to_owned())).collect();
                    format!("{}.{domain}.example", above.join("."))
                }
            },
        }
    }

    fn label(&mut self, label: &str, known_as: String) -> String {
        match label {
            "" | "*" => label.to_owned(),
            _ => self.word("host", &known_as),
        }
    }

    /// An address of the documentation ranges (RFC 5737, RFC 3849); the loopback and the unspecified address stay.
    pub(super) fn ip(&mut self, ip: IpAddr) -> IpAddr {
        if ip.is_loopback() || ip.is_unspecified() {
            return ip;
        }
        match ip {
            IpAddr::V4(v4) => self.v4(v4).into(),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) if v4.is_loopback() => ip,
                Some(v4) => self.v4(v4).to_ipv6_mapped().into(),
                None => self.v6(v6).into(),
            },
        }
    }

    fn v4(&mut self, ip: Ipv4Addr) -> Ipv4Addr {
        let next = u32::try_from(self.v4.len()).unwrap_or(u32::MAX);
        // 198.51.100.1 to .254, then 198.18.0.0/15, the range of benchmarks (RFC 2544), which begins anew when it is used up.
        let made = match next {
            0..254 => Ipv4Addr::from(0xc633_6401 + next),
            _ => Ipv4Addr::from(0xc612_0000 + (next - 254) % (1 << 17)),
        };
        if self.v4.len() >= MOST { made } else { *self.v4.entry(ip).or_insert(made) }
    }

    fn v6(&mut self, ip: Ipv6Addr) -> Ipv6Addr {
        let next = self.v6.len() as u128 + 1;
        let made = Ipv6Addr::from((0x2001_0db8 << 96) + next);
        if self.v6.len() >= MOST { made } else { *self.v6.entry(ip).or_insert(made) }
    }

    /// A socket's address: the port stays.
    pub(super) fn socket(&mut self, mut address: SocketAddr) -> SocketAddr {
        address.set_ip(self.ip(address.ip()));
        address
    }
}
