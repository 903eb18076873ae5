//! The tunnel behind an answered CONNECT.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;

use super::send::Delivery;
use super::wire::{Socket, Wire};

/// Carries bytes both ways until one side closes. `delivery` decides how what comes from `far` reaches the client.
pub(super) fn carry(
    wire: &mut Wire,
    far: &Arc<TcpStream>,
    ahead: &[u8],
    delivery: &mut Delivery<'_>,
    progress: impl Fn(usize),
) -> io::Result<()> {
    let near = wire.socket().clone();
    let outward = Socket(Arc::clone(far));
    outward.clone().write_all(ahead)?;
    let upstream = thread::spawn(move || copy(near, outward));
    let result = copy_back(wire, far, delivery, progress);
    // Both ends may already be shut; the thread then ends by itself.
    let _ = far.shutdown(Shutdown::Both);
    let _ = wire.socket().0.shutdown(Shutdown::Both);
    let _ = upstream.join();
    result
}

fn copy(mut from: Socket, mut to: Socket) -> io::Result<()> {
    let result = io::copy(&mut from, &mut to);
    to.0.shutdown(Shutdown::Write)?;
    result.map(drop)
}

fn copy_back(
    wire: &mut Wire,
    far: &Arc<TcpStream>,
    delivery: &mut Delivery<'_>,
    progress: impl Fn(usize),
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = (&**far).read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        delivery.send(wire, None, buffer.get(..count).unwrap_or_default(), &progress)?;
    }
}
