//! An SSH server that nobody knows yet: it shows its key, and ssh has to ask whether to trust it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, ensure};

use super::log::Log;

const BANNER: &[u8] = b"SSH-2.0-gmtrace_test\r\n";
/// RFC 4253 7, and RFC 5656 4 for the exchange of keys.
const KEXINIT: u8 = 20;
const ECDH_INIT: u8 = 30;
const ECDH_REPLY: u8 = 31;

/// Goes as far as the server's key and its fingerprint, of which no client checks the signature before it has asked its user
/// (OpenSSH, kexgen.c: kex_verify_host_key stands before the signature is read). Whoever trusts it is told that the signature is wrong.
#[derive(Debug)]
pub struct SshHost {
    address: SocketAddr,
    shown: Arc<Log<SocketAddr>>,
}

impl SshHost {
    /// On this address.
    ///
    /// # Errors
    /// When it cannot be listened on.
    pub fn start(address: impl Into<IpAddr>, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((address.into(), port))?;
        let address = listener.local_addr()?;
        let shown = Arc::new(Log::default());
        let seen = Arc::clone(&shown);
        // It ends with the process: a lab has one of its own.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(stream, &seen));
            }
        });
        Ok(Self { address, shown })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a client has been shown the key.
    ///
    /// # Errors
    /// When none has within a minute.
    pub fn wait_for_client(&self) -> Result<()> {
        self.shown.wait_for("a client that was shown the key", |_| true).map(drop)
    }
}

fn serve(mut stream: TcpStream, shown: &Log<SocketAddr>) {
    // A client that gives up is no error of the server's.
    let _gone = greet(&mut stream, shown);
    let mut rest = [0; 4096];
    while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
}

fn greet(stream: &mut TcpStream, shown: &Log<SocketAddr>) -> Result<()> {
    stream.write_all(BANNER)?;
    read_line(stream)?;
    send(stream, &kexinit())?;
    ensure!(receive(stream)?.first() == Some(&KEXINIT), "no KEXINIT");
    ensure!(receive(stream)?.first() == Some(&ECDH_INIT), "no ECDH_INIT");
    send(stream, &reply())?;
    shown.push(stream.peer_addr()?);
    Ok(())
}

/// One algorithm of each kind, of those that every client has.
fn kexinit() -> Vec<u8> {
    let mut message = vec![KEXINIT];
    message.extend([7; 16]);
    for names in [
        "curve25519-sha256",
        "ssh-ed25519",
        "aes128-ctr",
        "aes128-ctr",
        "hmac-sha2-256",
        "hmac-sha2-256",
        "none",
        "none",
        "",
        "",
    ] {
        string(&mut message, names.as_bytes());
    }
    message.extend([0; 5]);
    message
}

/// The key, the server's half of the secret, and a signature that is none.
fn reply() -> Vec<u8> {
    let mut message = vec![ECDH_REPLY];
    string(&mut message, &of_kind("ssh-ed25519", &[9; 32]));
    string(&mut message, &[8; 32]);
    string(&mut message, &of_kind("ssh-ed25519", &[6; 64]));
    message
}

fn of_kind(kind: &str, bytes: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    string(&mut blob, kind.as_bytes());
    string(&mut blob, bytes);
    blob
}

fn string(message: &mut Vec<u8>, bytes: &[u8]) {
    message.extend(u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    message.extend(bytes);
}

/// RFC 4253 6: length, padding length, payload, padding to a multiple of 8, at least 4.
fn send(stream: &mut TcpStream, payload: &[u8]) -> Result<()> {
    let padding = 8 - (payload.len() + 5) % 8 + 8 * usize::from((payload.len() + 5) % 8 > 4);
    let mut packet = Vec::new();
    packet.extend(u32::try_from(1 + payload.len() + padding)?.to_be_bytes());
    packet.push(u8::try_from(padding)?);
    packet.extend(payload);
    packet.resize(packet.len() + padding, 0);
    Ok(stream.write_all(&packet)?)
}

fn receive(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length))?;
    ensure!((2..=65536).contains(&length), "a packet of {length} bytes");
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet)?;
    let padding = usize::from(*packet.first().context("an empty packet")?);
    Ok(packet.get(1..length.saturating_sub(padding)).context("padding")?.to_vec())
}

fn read_line(stream: &mut TcpStream) -> Result<()> {
    let mut byte = [0];
    for _ in 0..256 {
        stream.read_exact(&mut byte)?;
        if byte == [b'\n'] {
            return Ok(());
        }
    }
    anyhow::bail!("no end of a line")
}
