//! What is said in one line.

use super::sample::{calm, finding, full_finding, lock, peer, report};
use crate::event::{EndedBy, Exit};
use crate::report::live::{LiveState, live_line};
use crate::report::message::{Outputs, end_line, moving_again, still_waiting};
use crate::report::{Command, Finding, HostRow, ModuleRow, Report, Stall, Totals};
use crate::text::width;
use crate::units::Nanos;

#[test]
fn it_moves_again() {
    let at = |code: &str| Finding { peer: Some(peer("proxy.example.com")), ..finding(code, "") };
    let after = Nanos::from_secs(34);
    assert_eq!(
        moving_again(&at("http-silent"), after),
        "gmtrace: moving again after 34 s (proxy.example.com answered)."
    );
    assert_eq!(
        moving_again(&at("body-stalled"), after),
        "gmtrace: moving again after 34 s (proxy.example.com sends again)."
    );
    assert_eq!(
        moving_again(&Finding { lock: Some(lock()), ..finding("lock-held", "") }, after),
        "gmtrace: moving again after 34 s (the lock is free)."
    );
    assert_eq!(moving_again(&finding("unknown", ""), after), "gmtrace: moving again after 34 s.");
}

#[test]
fn it_still_waits() {
    let since = Nanos::from_secs(180);
    let proxy = Finding { peer: Some(peer("proxy.example.com")), ..finding("http-silent", "") };
    assert_eq!(
        still_waiting(&proxy, since),
        "gmtrace: still waiting for proxy.example.com, 3 min."
    );
    let held = Finding { lock: Some(lock()), ..finding("lock-held", "") };
    assert_eq!(
        still_waiting(&held, since),
        "gmtrace: still waiting for go list ./... (pid 41190), 3 min."
    );
    let mut server = peer("");
    server.host = None;
    let silent = Finding { peer: Some(server), ..finding("dns-silent", "") };
    assert_eq!(
        still_waiting(&silent, since),
        "gmtrace: still waiting for name server 192.0.2.10, 3 min."
    );
    assert_eq!(
        still_waiting(&finding("unknown", ""), since),
        "gmtrace: still waiting, 3 min (unknown)."
    );
}

fn ended(report: &Report) -> String {
    end_line(report, Outputs::default())
}

fn with_end(exit: Option<Exit>, ended_by: Option<EndedBy>) -> Report {
    Report { command: Command { exit, ended_by, ..report().command }, ..calm() }
}

#[test]
fn the_end() {
    assert_eq!(
        ended(&calm()),
        "gmtrace: 212 modules, 48 MB in 31 s; slowest: example.com/big v2.0.1, 19 s waiting for proxy.example.com."
    );
}

#[test]
fn the_end_of_a_run_that_did_nothing() {
    let idle = Report {
        totals: Totals::default(),
        modules: Vec::new(),
        hosts: Vec::<HostRow>::new(),
        ..calm()
    };
    assert_eq!(ended(&idle), "gmtrace: ended well after 31 s, nothing downloaded.");
    let argv = ["go", "build", "./..."].map(str::to_owned).to_vec();
    let built = Report { command: Command { argv, ..idle.command.clone() }, ..idle };
    assert_eq!(ended(&built), "gmtrace: ended well after 31 s.");
}

#[test]
fn the_end_of_a_run_that_went_wrong() {
    let quick = ModuleRow::default();
    let calm = |exit, by| Report { modules: vec![quick.clone()], ..with_end(exit, by) };
    let failed = Report { findings: vec![full_finding()], ..calm(Some(Exit::Code(1)), None) };
    assert_eq!(
        ended(&failed),
        "gmtrace: failed with status 1 after 31 s, 212 modules, 48 MB: It ended well."
    );
    let signal = Some(Exit::Signal("SIGKILL".to_owned()));
    for (report, said) in [
        (calm(signal.clone(), Some(EndedBy::Signal)), "killed by SIGKILL"),
        (calm(signal.clone(), Some(EndedBy::Timeout)), "ended by --timeout"),
        (calm(signal.clone(), Some(EndedBy::StallTimeout)), "ended by --stall-timeout"),
        (calm(signal, Some(EndedBy::Interrupt)), "interrupted"),
        (calm(None, None), "still running"),
    ] {
        assert_eq!(ended(&report), format!("gmtrace: {said} after 31 s, 212 modules, 48 MB."));
    }
}

#[test]
fn the_end_of_a_run_that_was_cut_off() {
    let cut = Finding { end_ns: Some(Nanos::from_secs(31)), ..full_finding() };
    let cut = Finding { blocked_ns: Nanos::from_secs(19), ..cut };
    let stall =
        Stall { start_ns: Nanos::from_secs(12), end_ns: cut.end_ns, finding: Some(cut.id.clone()) };
    let by = with_end(Some(Exit::Signal("SIGINT".to_owned())), Some(EndedBy::Interrupt));
    let run = Report { findings: vec![cut], stalls: vec![stall], modules: Vec::new(), ..by };
    assert_eq!(
        ended(&run),
        "gmtrace: interrupted after 31 s, 19 s of it waiting for proxy.example.com (http-silent), 212 modules, 48 MB."
    );
}

#[test]
fn the_end_names_what_it_leaves_and_what_it_missed() {
    let files = ["out.html".to_owned(), "out\u{1b}[2J.json".to_owned()];
    let outputs = Outputs { files: &files, kept: Some("gmtrace report") };
    let run = Report { modules: Vec::new(), losses: report().losses, ..calm() };
    assert_eq!(
        end_line(&run, outputs),
        "gmtrace: 212 modules, 48 MB in 31 s; wrote out.html, out\\x1b[2J.json; kept: gmtrace report; \
         3 events or values not seen."
    );
}

#[test]
fn the_live_line() {
    let state = LiveState {
        elapsed: Nanos::from_secs(8),
        modules_done: 12,
        modules_in_flight: 3,
        bytes: 4_100_000,
        waiting: Some(("proxy.example.com".to_owned(), Nanos::from_secs(3))),
    };
    assert_eq!(
        live_line(&state, 100),
        "gmtrace: 12 modules done, 3 in flight, 4.1 MB, 8 s; waiting for proxy.example.com, 3 s"
    );
    assert_eq!(
        live_line(&state, 80),
        "gmtrace: 12 modules done, 3 in flight, 4.1 MB, 8 s; waiting for pro…le.com, 3 s"
    );
    for columns in 0..100 {
        assert!(width(&live_line(&state, columns)) <= columns.saturating_sub(1));
    }
    let unknown = LiveState { modules_done: 0, modules_in_flight: 0, waiting: None, ..state };
    assert_eq!(live_line(&unknown, 80), "gmtrace: 4.1 MB, 8 s");
}
