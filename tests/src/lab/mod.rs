//! A network of its own for a scenario: a fresh network and mount namespace in which servers may listen on port 53 and 443,
//! addresses and names are free to choose, and packets can be dropped on command.
//!
//! A test hands its body to [`isolated`]. The test binary then runs itself once more, for this one test, under `unshare(1)`,
//! and the body runs there: servers are threads as ever, and every command it starts lives in the same network.
//!
//! ```no_run
//! # use gmtrace_tests::{lab, servers::{HttpServer, Listen, ModuleProxy, Modules}};
//! # use std::net::Ipv4Addr;
//! #[test]
//! fn path_dies() -> anyhow::Result<()> {
//!     lab::isolated(|lab| {
//!         lab.host("proxy.example.com", "192.0.2.1")?;
//!         let address = Ipv4Addr::new(192, 0, 2, 1);
//!         let proxy = HttpServer::start(Listen::at(address, 80), ModuleProxy::new(&Modules::generated(1, 1000)))?;
//!         // start the go command with GOPROXY=http://proxy.example.com, wait for its request, and then:
//!         lab.drop_port(80)
//!     })
//! }
//! ```
//!
//! As root this makes a network and a mount namespace; as an ordinary user, a user namespace around them. A program that is no
//! test (the runner of a table of scenarios, say) uses the two halves by themselves: [`command`] starts a program in fresh
//! namespaces, and there it calls [`Lab::enter`] first thing.
//!
//! Nothing has a route: what is not on `lo` is unreachable at once (`ENETUNREACH`), until [`Lab::interface`] and
//! [`Lab::route`] say otherwise.

mod etc;
mod isolate;
mod network;

pub use etc::ReadOnly;
pub use isolate::{Privilege, command, isolated, isolated_as};

use anyhow::Result;
use etc::Etc;

/// The network that this process lives in. Whoever holds one is inside.
#[derive(Debug)]
pub struct Lab {
    etc: Etc,
}

impl Lab {
    /// Sets up the fresh namespaces that [`command`] has put this process into: `lo` is up, `/etc/hosts` knows localhost
    /// alone, and `/etc/resolv.conf` names 127.0.0.1.
    ///
    /// # Errors
    /// When this process is not in a lab, when `ip` (package iproute2) is missing, or when the machine forbids it.
    pub fn enter() -> Result<Self> {
        isolate::check_inside()?;
        network::ip(&["link", "set", "lo", "up"])?;
        Ok(Self { etc: Etc::replace()? })
    }
}
