//! The arrows between rooms: who may depend on whom.
//!
//! Two looks: at the dependencies that the members declare, and at the names their sources use.

mod members;
mod names;
mod sources;

use anyhow::{Result, ensure};

use crate::workspace::{Workspace, progress};

/// A rule on names: files under `room` name nothing that starts with one of `forbidden`.
struct Border {
    room: &'static str,
    forbidden: &'static [&'static str],
    why: &'static str,
}

const BORDERS: &[Border] = &[
    Border {
        room: "tracer/core/src",
        forbidden: &[
            "std::env",
            "std::fs",
            "std::io::stderr",
            "std::io::stdin",
            "std::io::stdout",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::os",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "libc",
            "nix",
            "procfs",
        ],
        why: "core makes no OS calls, so that a recording replays to the same answer",
    },
    Border {
        room: "tracer/core/src",
        forbidden: &["crate::capture", "gmtrace", "gmtrace_abi"],
        why: "session, diagnose and report never import capture",
    },
    Border {
        room: "tracer/src/capture",
        forbidden: &["gmtrace_core::diagnose", "gmtrace_core::report"],
        why: "a backend says what happened; it never judges and never prints",
    },
    Border {
        room: "xtask/src",
        forbidden: &["gmtrace", "gmtrace_abi", "gmtrace_core", "gmtrace_tests"],
        why: "xtask uses nothing of ours at run time",
    },
];

/// Fails when a member or a source file crosses a border, and names every crossing.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut crossings = members::crossings(&workspace.metadata);
    for border in BORDERS {
        crossings.extend(sources::crossings(&workspace.root, border)?);
    }
    for crossing in &crossings {
        progress(crossing);
    }
    ensure!(crossings.is_empty(), "{} arrows point the wrong way", crossings.len());
    Ok(())
}
