//! Calls of libc's getaddrinfo(3) that probes on it tell of, whoever was asked then: a file, a daemon, servers.

use super::Session;
use crate::event::{Event, What};
use crate::units::{Nanos, Pid, Tid};

/// A call, which is one of its thread at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Getaddrinfo {
    /// Who calls.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// The name; empty where there is none, or it could not be read yet.
    pub name: String,
    /// The service, a name or the number of a port.
    pub service: Option<String>,
    /// When it began.
    pub since: Nanos,
    /// When it returned, or its process ended.
    pub ended: Option<Nanos>,
    /// `ok`, or the error's name; none where it has not returned.
    pub result: Option<String>,
}

impl Session {
    pub(super) fn apply_getaddrinfo(&mut self, event: &Event) {
        let (t, pid, tid) = (event.t, event.pid, event.tid);
        match &event.what {
            What::GetaddrinfoStart { name: Some(name), service } => {
                let (name, service) = (name.clone(), service.clone());
                let call =
                    Getaddrinfo { pid, tid, name, service, since: t, ended: None, result: None };
                self.getaddrinfos.push(call);
            }
            What::GetaddrinfoEnd { name, service, result } => {
                let mut newest = self.getaddrinfos.iter_mut().rev();
                let call = newest.find(|c| (c.pid, c.tid) == (pid, tid) && c.ended.is_none());
                let Some(call) = call else { return };
                // What lay in no memory when it began has been looked at since.
                call.name.clone_from(name);
                call.service.clone_from(service);
                (call.ended, call.result) = (Some(t), Some(result.clone()));
            }
            What::ProcessExit { .. } | What::ProcessGone | What::Exec(_) => {
                let open = |c: &&mut Getaddrinfo| c.pid == pid && c.ended.is_none();
                self.getaddrinfos.iter_mut().filter(open).for_each(|call| call.ended = Some(t));
            }
            _ => {}
        }
    }
}
