//! Bytes to meaning: socket addresses, DNS, TLS and HTTP as a tracee wrote or read them.
//!
//! Every byte here is hostile: it comes from the memory of a process that may lie, or from a
//! network. So each decoder looks at a bounded prefix, allocates no more than that prefix
//! justifies, and answers `None` instead of failing. What it returns is still untrusted text;
//! [`crate::text`] escapes it where it reaches a person.

pub mod dns;
pub mod http;
pub mod sockaddr;
pub mod tls;
