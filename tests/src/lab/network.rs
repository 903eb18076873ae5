//! Addresses, routes, and packets that get lost on command.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Lab;
use crate::processes::await_that;
use crate::servers::PATIENCE;

/// The table and chain of our rules. They look at what comes in, not at what goes out: an output hook that drops a
/// datagram makes sendto(2) fail with EPERM, which no real network does.
const CHAIN: [&str; 3] = ["inet", "gmtrace", "arriving"];

impl Lab {
    /// Gives `lo` one more address.
    ///
    /// # Errors
    /// When the address is none.
    pub fn address(&self, address: &str) -> Result<()> {
        let length = if family(address)? == "ip" { "32" } else { "128" };
        ip(&["address", "replace", &format!("{address}/{length}"), "dev", "lo", "nodad"])?;
        match address.parse() {
            Ok(IpAddr::V6(address)) => usable(address),
            _ => Ok(()),
        }
    }

    /// Makes an Ethernet interface (one end of a veth pair) with an address such as `10.1.0.1/24`. At the other end nobody is.
    ///
    /// # Errors
    /// When the kernel has no veth, or the name is taken.
    pub fn interface(&self, name: &str, address: &str) -> Result<()> {
        let far = format!("{name}-far");
        ip(&["link", "add", name, "type", "veth", "peer", "name", &far])?;
        ip(&["link", "set", &far, "up"])?;
        ip(&["address", "add", address, "dev", name, "nodad"])?;
        ip(&["link", "set", name, "up"])
    }

    /// Adds a route, in the words of ip-route(8): `default via 10.1.0.2`, `unreachable 192.0.2.0/24`, `prohibit 192.0.2.7`.
    ///
    /// # Errors
    /// When `ip` refuses it.
    pub fn route(&self, words: &str) -> Result<()> {
        ip(&[&["route", "add"], words.split_whitespace().collect::<Vec<_>>().as_slice()].concat())
    }

    /// Packets to `address` get lost from now on: no SYN is answered, no datagram arrives, no ICMP error comes back.
    ///
    /// # Errors
    /// When `nft` (package nftables) is missing or refuses.
    pub fn drop_to(&self, address: &str) -> Result<()> {
        self.address(address)?;
        self.rule(&format!("{} daddr {address} counter drop", family(address)?))
    }

    /// Packets from and to this port get lost from now on, TCP and UDP, those of connections that stand included.
    ///
    /// # Errors
    /// When `nft` (package nftables) is missing or refuses.
    pub fn drop_port(&self, port: u16) -> Result<()> {
        self.rule(&format!("th sport {port} counter drop"))?;
        self.rule(&format!("th dport {port} counter drop"))
    }

    /// Adds a rule for what arrives, in the words of nft(8): `ip daddr 192.0.2.1 tcp dport 443 reject with tcp reset`.
    ///
    /// # Errors
    /// When `nft` (package nftables) is missing or refuses.
    pub fn rule(&self, words: &str) -> Result<()> {
        self.chain()?;
        nft(&[&["add", "rule"], CHAIN.as_slice(), &[words]].concat()).map(drop)
    }

    /// Waits until a packet has got lost: the proof that a rule met the flow it was meant for. The counters of nftables tell
    /// nobody that they move, so they are read again and again.
    ///
    /// # Errors
    /// When none has within a minute, or `nft` refuses.
    pub fn wait_for_loss(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let rules = nft(&[&["list", "chain"], CHAIN.as_slice()].concat())?;
            if rules.lines().any(|rule| counted(rule) > 0) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("waited {PATIENCE:?} for a packet to get lost")
    }

    /// Takes all rules away: what was dropped arrives again when it is sent again.
    ///
    /// # Errors
    /// When `nft` (package nftables) is missing or refuses.
    pub fn heal(&self) -> Result<()> {
        self.chain()?;
        nft(&[&["flush", "chain"], CHAIN.as_slice()].concat()).map(drop)
    }

    /// Makes the chain; `add` leaves one that is there as it is.
    fn chain(&self) -> Result<()> {
        let [family, table, _] = CHAIN;
        let hook = "{ type filter hook input priority 0; }";
        nft(&["add", "table", family, table])?;
        nft(&[&["add", "chain"], CHAIN.as_slice(), &[hook]].concat()).map(drop)
    }
}

/// The packets in a line such as `th sport 80 counter packets 3 bytes 180 drop`.
fn counted(rule: &str) -> u64 {
    let mut words = rule.split_whitespace().skip_while(|&word| word != "packets");
    words.nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Waits until the kernel lets sockets use an address: even without duplicate address detection it is tentative until a work queue
/// of the kernel has seen it (addrconf_dad_work).
fn usable(address: Ipv6Addr) -> Result<()> {
    const TENTATIVE: u32 = 0x40; // linux/if_addr.h, IFA_F_TENTATIVE
    let name: String = address.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    await_that("the address can be used", || {
        // Address, interface, length of the prefix, scope, flags.
        let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").ok()?;
        let line = table.lines().find(|line| line.starts_with(&name))?;
        let flags =
            line.split_whitespace().nth(4).and_then(|flags| u32::from_str_radix(flags, 16).ok())?;
        (flags & TENTATIVE == 0).then_some(())
    })
}

/// `ip` or `ip6`, as nft(8) calls them.
fn family(address: &str) -> Result<&'static str> {
    let address: IpAddr = address.parse().with_context(|| format!("{address} is no address"))?;
    Ok(if address.is_ipv4() { "ip" } else { "ip6" })
}

pub(super) fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", "iproute2", arguments).map(drop)
}

fn nft(arguments: &[&str]) -> Result<String> {
    run("nft", "nftables", arguments)
}

/// Runs a program of the system. Debian keeps these in /usr/sbin, which an ordinary user's PATH leaves out.
fn run(program: &str, package: &str, arguments: &[&str]) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output();
    let output = match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("there is no {program} on this machine: install the package {package}")
        }
        other => other.with_context(|| format!("cannot run {program}"))?,
    };
    if !output.status.success() {
        bail!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
