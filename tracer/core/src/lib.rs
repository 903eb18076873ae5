//! The pure part of gmtrace: what was captured (`event`), the model it is folded into (`session`), the rules that judge it
//! (`diagnose`) and what is told (`report`). Nothing here asks the operating system anything.
#![forbid(unsafe_code)]

pub mod anonymize;
pub mod decode;
pub mod diagnose;
pub mod event;
pub mod golang;
pub mod redact;
pub mod report;
pub mod session;
pub mod settings;
pub mod text;
pub mod units;
pub mod watch;
