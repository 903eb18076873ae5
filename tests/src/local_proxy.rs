//! A module proxy that is a process of its own on this machine, and asks another server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::unistd::Pid;

use crate::fixtures::fixture;

/// The proxy, until it is dropped.
#[derive(Debug)]
pub struct LocalProxy {
    child: Child,
    address: String,
}

impl LocalProxy {
    /// One that passes requests on to `upstream`.
    ///
    /// # Errors
    /// When there is no Go to build it, or it does not start.
    pub fn of(upstream: &str) -> Result<Self> {
        let program = fixture("reverse_proxy.go")?;
        let child = Command::new(program).arg(upstream).stdout(Stdio::piped()).spawn()?;
        let mut proxy = Self { child, address: String::new() };
        let output = proxy.child.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut proxy.address)?;
        Ok(proxy)
    }

    /// Its address as GOPROXY.
    pub fn url(&self) -> String {
        format!("http://{}", self.address.trim_end())
    }

    /// The port it listens at.
    ///
    /// # Errors
    /// When it has not told.
    pub fn port(&self) -> Result<u16> {
        let (_, port) = self.address.trim_end().rsplit_once(':').context("no port")?;
        Ok(port.parse()?)
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for LocalProxy {
    fn drop(&mut self) {
        // Gone already, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
