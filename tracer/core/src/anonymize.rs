//! Recordings for a bug report: hosts, addresses, paths, users and module names are replaced, consistently, so that the answer
//! stays the same. Numbers, versions, errors, sizes and times stay.
//!
//! Names are replaced when they are first met, since a recording is a stream. What programs said is kept by allow-list: a word
//! stays if it is one of `anonymize/words.txt`, which go, git, ssh and libc say to everybody.

mod goroutines;
mod known;
mod names;
mod places;
mod prose;
mod settings;
mod snapshot;
#[cfg(test)]
mod tests;

use crate::decode::sockaddr::{Address, UnixName};
use crate::event::{Event, Exec, GoCalled, Header, Record, TcpSample, TlsReply, What};
use names::Names;

/// Replaces names by made-up ones, the same each time.
#[derive(Debug, Default)]
pub struct Anonymizer {
    names: Names,
}

impl Anonymizer {
    /// Nothing replaced yet.
    pub fn new() -> Anonymizer {
        Anonymizer::default()
    }

    /// The record with names replaced.
    pub fn record(&mut self, mut record: Record) -> Record {
        match &mut record {
            Record::Header(header) => self.names.header(header),
            Record::Event(event) => self.names.event(event),
            Record::End(_) => {}
        }
        record
    }
}

impl Names {
    fn header(&mut self, header: &mut Header) {
        self.argv(&mut header.argv);
        header.cwd = self.path(&header.cwd);
        let kernel: Vec<String> = header.host.kernel.split('-').map(|p| self.plain(p)).collect();
        header.host.kernel = kernel.join("-");
        header.backend.why = self.text(&header.backend.why);
        for sentence in &mut header.backend.unseen {
            *sentence = self.text(sentence);
        }
    }

    fn event(&mut self, event: &mut Event) {
        match &mut event.what {
            What::Exec(exec) => self.exec(exec),
            What::Connect { peer, .. } => self.address(peer),
            What::LockRequest { path, .. } | What::LockEnd { path, .. } => *path = self.path(path),
            What::Output { text, .. } | What::Note { text } => *text = self.text(text),
            What::TcpClosed(sample) => self.tcp(sample),
            What::Sample(sample) => sample.connections.iter_mut().for_each(|c| self.tcp(c)),
            What::GoSettings(settings) => self.go_settings(settings),
            What::GoWork { items } => {
                items.iter_mut().for_each(|item| item.module = self.module(&item.module));
            }
            What::GoRunning(running) => {
                running
                    .goroutines
                    .iter_mut()
                    .for_each(|goroutine| self.goroutine(goroutine, false));
            }
            What::GoCallStart { call, about, .. } | What::GoCallEnd { call, about, .. } => {
                *about = match call {
                    GoCalled::LookUp | GoCalled::Handshake => self.host(about),
                    GoCalled::Start => self.path(about),
                    _ => self.text(about),
                };
            }
            What::GoStepStart { module, .. } | What::GoStepEnd { module, .. } => {
                *module = self.module(module);
            }
            What::Snapshot(snapshot) => self.snapshot(snapshot),
            What::Lost { what, why, .. } => {
                *what = self.text(what);
                *why = self.text(why);
            }
            What::DnsQuestion { .. }
            | What::DnsAnswer { .. }
            | What::GetaddrinfoStart { .. }
            | What::GetaddrinfoEnd { .. } => self.dns(&mut event.what),
            What::TlsClientHello { .. } | What::TlsReply { .. } => self.tls(&mut event.what),
            What::HttpRequest { .. } | What::HttpResponse { .. } => self.http(&mut event.what),
            What::GoRequest { url, .. } => *url = self.url(url),
            What::GoResponse { error, .. } => *error = error.as_deref().map(|e| self.text(e)),
            // Numbers, and words of the kernel and of the protocols.
            What::ProcessStart { .. }
            | What::ProcessExit { .. }
            | What::ProcessGone
            | What::ConnectEnd { .. }
            | What::DnsError { .. }
            | What::GoRequestOn { .. }
            | What::Read { .. }
            | What::Signal { .. }
            | What::Stopped { .. }
            | What::Continued
            | What::ForeignSyscall { .. }
            | What::Lapse { .. }
            | What::Unknown => {}
        }
    }

    fn exec(&mut self, exec: &mut Exec) {
        exec.exe = self.path(&exec.exe);
        exec.cwd = self.path(&exec.cwd);
        self.argv(&mut exec.argv);
    }

    fn address(&mut self, address: &mut Address) {
        match address {
            Address::Inet(inet) => *inet = self.socket(*inet),
            Address::Unix(UnixName::Path(path)) => *path = self.path(path),
            Address::Unix(UnixName::Abstract(name)) => {
                *name = self.path(&String::from_utf8_lossy(name)).into_bytes();
            }
            Address::Unix(UnixName::Unnamed) | Address::Other { .. } => {}
        }
    }

    fn tcp(&mut self, sample: &mut TcpSample) {
        sample.local = self.socket(sample.local);
        sample.peer = self.socket(sample.peer);
    }

    fn dns(&mut self, what: &mut What) {
        match what {
            What::DnsQuestion { server, name, .. } => {
                *name = self.host(name);
                *server = server.map(|s| self.socket(s));
            }
            What::DnsAnswer { name, addresses, .. } => {
                *name = name.as_deref().map(|n| self.host(n));
                addresses.iter_mut().for_each(|ip| *ip = self.ip(*ip));
            }
            What::GetaddrinfoStart { name, service } => {
                *name = name.as_deref().map(|n| self.host(n));
                *service = service.as_deref().map(|s| self.text(s));
            }
            What::GetaddrinfoEnd { name, service, .. } => {
                *name = self.host(name);
                *service = service.as_deref().map(|s| self.text(s));
            }
            _ => {}
        }
    }

    fn tls(&mut self, what: &mut What) {
        match what {
            What::TlsClientHello { sni, .. } => *sni = sni.as_deref().map(|s| self.host(s)),
            What::TlsReply { reply, .. } => match reply {
                TlsReply::Alert(text) | TlsReply::NotTls(text) | TlsReply::Closed(text) => {
                    *text = self.text(text);
                }
                TlsReply::ServerHello => {}
            },
            _ => {}
        }
    }

    fn http(&mut self, what: &mut What) {
        match what {
            What::HttpRequest { url, .. } => *url = self.url(url),
            What::HttpResponse { content_type, location, .. } => {
                *location = location.as_deref().map(|l| self.url(l));
                *content_type = content_type.as_deref().map(|c| self.text(c));
            }
            _ => {}
        }
    }
}
