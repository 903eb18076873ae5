//! Calls of the kinds that gmtrace's programs in the kernel hang on, for benchmarks: a lock taken and released, and with
//! `--messages` 64 bytes sent and received over loopback. With `--others` calls that they do not hang on, as most are.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use nix::fcntl::{Flock, FlockArg};

/// Where a rate is asked for, what is due is done this often.
const TICK: Duration = Duration::from_millis(1);

/// Takes and releases a lock that nobody else wants, again and again.
#[derive(Parser)]
struct Options {
    /// How many times
    #[arg(long)]
    rounds: u64,
    /// No more than so many in a second
    #[arg(long)]
    per_second: Option<u64>,
    /// Send and receive 64 bytes each time as well
    #[arg(long)]
    messages: bool,
    /// Write 64 bytes to a file and read them again each time, and nothing else
    #[arg(long, conflicts_with = "messages")]
    others: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut file = tempfile::tempfile().context("no temporary file")?;
    let mut connection = options.messages.then(connection).transpose()?;
    let begun = Instant::now();
    for round in 0..options.rounds {
        while options.per_second.is_some_and(|rate| round >= due(begun, rate)) {
            thread::sleep(TICK);
        }
        if options.others {
            write_and_read(&file)?;
            continue;
        }
        file = lock_and_unlock(file)?;
        if let Some((one, other)) = &mut connection {
            one.write_all(&[0; 64])?;
            other.read_exact(&mut [0; 64])?;
        }
    }
    Ok(())
}

/// How many rounds should have been begun by now.
fn due(begun: Instant, per_second: u64) -> u64 {
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    ms.saturating_mul(per_second) / 1000
}

fn lock_and_unlock(file: File) -> Result<File> {
    let locked = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    Ok(locked.unlock().map_err(|(_, errno)| errno)?)
}

fn write_and_read(file: &File) -> Result<()> {
    file.write_all_at(&[0; 64], 0)?;
    Ok(file.read_exact_at(&mut [0; 64], 0)?)
}

/// Both ends of a connection.
fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port on loopback")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    one.set_nodelay(true)?;
    Ok((one, listener.accept()?.0))
}
