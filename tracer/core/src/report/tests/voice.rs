//! The messages by which all others are modelled, byte for byte.

use super::sample::{fact, finding, full_finding, lock, peer, remedy};
use crate::report::message::{
    Closing, Context, Offers, PREFIX, attached, attached_begin, attached_end, hint, stall,
};
use crate::report::palette::Palette;
use crate::report::{Finding, Remedy};
use crate::text::width;

const ALL: Offers = Offers { report: true, attach: true, doctor: true };

fn context<'a>(finding: &Finding) -> Context<'a> {
    let closing = Closing::More(hint(finding, ALL));
    Context { width: 80, color: Palette::PLAIN, prefix: PREFIX, closing }
}

fn said(finding: &Finding) -> String {
    stall(finding, &context(finding))
}

#[test]
fn a_silent_proxy() {
    let finding = Finding {
        peer: Some(peer("proxy.example.com")),
        limit: Some("none: go would wait for ever".to_owned()),
        alternatives: vec!["the proxy is still fetching the module: allow a minute".to_owned()],
        remedies: vec![remedy(
            "Ctrl-C first (a second go would queue behind this one), then",
            Some("GOPROXY=direct go mod download"),
        )],
        facts: vec![
            fact(
                "waiting",
                &[
                    "go mod download (pid 41207), 2 modules:",
                    "example.com/lib v1.4.2 and example.com/two v0.1.0 (zip files)",
                ],
            ),
            fact("server", &["192.0.2.10 port 443, first entry of GOPROXY"]),
            fact("seen", &["request sent and acknowledged; 0 bytes back for 8.1 s"]),
        ],
        ..finding("http-silent", "proxy.example.com took a request 8 s ago and has not answered.")
    };
    assert_eq!(
        said(&finding),
        "\
gmtrace: proxy.example.com took a request 8 s ago and has not answered.

  waiting   go mod download (pid 41207), 2 modules:
            example.com/lib v1.4.2 and example.com/two v0.1.0 (zip files)
  server    192.0.2.10 port 443, first entry of GOPROXY
  seen      request sent and acknowledged; 0 bytes back for 8.1 s
  limit     none: go would wait for ever
  or else   the proxy is still fetching the module: allow a minute
  try       Ctrl-C first (a second go would queue behind this one), then
            GOPROXY=direct go mod download
  more      gmtrace report                       http-silent, certain
"
    );
}

#[test]
fn another_go_command_in_the_way() {
    let finding = Finding {
        symptom: "lock-held".to_owned(),
        peer: Some(peer("proxy.example.com")),
        lock: Some(lock()),
        remedies: vec![
            remedy("Ctrl-C, kill 41190, then", Some("GOPROXY=direct go mod download")),
            remedy("(kill alone passes you the lock, and the same silent server)", None),
            Remedy {
                safe: false,
                ..remedy("delete the lock file: frees nobody, can damage the cache", None)
            },
        ],
        facts: vec![
            fact(
                "you",
                &[
                    "go mod download (pid 41207)",
                    "waits 34 s for the lock of example.com/lib v1.4.2, held by",
                ],
            ),
            fact(
                "holder",
                &[
                    "go list ./... (pid 41190), started by gopls (pid 3300)",
                    "waits 6 min for an answer from proxy.example.com, 192.0.2.10:443",
                ],
            ),
            fact("lock", &["~/go/pkg/mod/cache/download/example.com/lib/@v/v1.4.2.lock"]),
            fact("seen", &["kernel lock table: 41190 holds, 41207 queues"]),
        ],
        ..finding("http-silent", "another go command is in the way, stuck on proxy.example.com.")
    };
    assert_eq!(
        said(&finding),
        "\
gmtrace: another go command is in the way, stuck on proxy.example.com.

  you       go mod download (pid 41207)
            waits 34 s for the lock of example.com/lib v1.4.2, held by
  holder    go list ./... (pid 41190), started by gopls (pid 3300)
            waits 6 min for an answer from proxy.example.com, 192.0.2.10:443
  lock      ~/go/pkg/mod/cache/download/example.com/lib/@v/v1.4.2.lock
  seen      kernel lock table: 41190 holds, 41207 queues
  try       Ctrl-C, kill 41190, then GOPROXY=direct go mod download
            (kill alone passes you the lock, and the same silent server)
  never     delete the lock file: frees nobody, can damage the cache
  more      gmtrace -p 41190      http-silent, certain; seen as lock-held
"
    );
}

#[test]
fn a_silent_name_server() {
    let finding = Finding {
        limit: Some("go fails in about 5 s; \",\" in GOPROXY means no second try".to_owned()),
        alternatives: vec!["a firewall or VPN drops port 53".to_owned()],
        remedies: vec![
            remedy("", Some("dig @192.0.2.53 proxy.example.com")),
            remedy("no reply: change resolv.conf (docker: --dns ADDRESS)", None),
        ],
        facts: vec![
            fact("waiting", &["go mod download (pid 41207), before its first module"]),
            fact("asked", &["IPv4 and IPv6 address of proxy.example.com, over UDP"]),
            fact("server", &["192.0.2.53 port 53, the only one in /etc/resolv.conf"]),
            fact("seen", &["asked 5.2 s and 0.2 s ago; no reply, no \"unreachable\""]),
        ],
        ..finding("dns-silent", "name server 192.0.2.53 is silent, asked for proxy.example.com.")
    };
    assert_eq!(
        said(&finding),
        "\
gmtrace: name server 192.0.2.53 is silent, asked for proxy.example.com.

  waiting   go mod download (pid 41207), before its first module
  asked     IPv4 and IPv6 address of proxy.example.com, over UDP
  server    192.0.2.53 port 53, the only one in /etc/resolv.conf
  seen      asked 5.2 s and 0.2 s ago; no reply, no \"unreachable\"
  limit     go fails in about 5 s; \",\" in GOPROXY means no second try
  or else   a firewall or VPN drops port 53
  try       dig @192.0.2.53 proxy.example.com
            no reply: change resolv.conf (docker: --dns ADDRESS)
  more      gmtrace doctor                       dns-silent, certain
"
    );
}

#[test]
fn a_question_nobody_sees() {
    let finding = Finding {
        facts: vec![
            fact("waiting", &["go mod download (41207) > git fetch (41215) > ssh (41216)"]),
            fact("module", &["example.com/team/private v0.3.0"]),
            fact("seen", &["ssh has been reading terminal pts/3 for 8 s;"]),
            fact("seen", &["git.example.com (192.0.2.22) is not in ~/.ssh/known_hosts"]),
            fact("likely", &["\"trust this host?\"  Check the fingerprint, then type yes"]),
            fact(
                "in CI",
                &[
                    "add the host to known_hosts, and fail instead of waiting:",
                    "export GIT_SSH_COMMAND='ssh -o BatchMode=yes'",
                ],
            ),
        ],
        ..finding("prompt", "ssh is waiting for you to type an answer about git.example.com.")
    };
    assert_eq!(
        said(&finding),
        "\
gmtrace: ssh is waiting for you to type an answer about git.example.com.

  waiting   go mod download (41207) > git fetch (41215) > ssh (41216)
  module    example.com/team/private v0.3.0
  seen      ssh has been reading terminal pts/3 for 8 s;
            git.example.com (192.0.2.22) is not in ~/.ssh/known_hosts
  likely    \"trust this host?\"  Check the fingerprint, then type yes
  in CI     add the host to known_hosts, and fail instead of waiting:
            export GIT_SSH_COMMAND='ssh -o BatchMode=yes'
  more      gmtrace explain prompt               prompt, certain
"
    );
}

#[test]
fn a_command_that_hangs_already() {
    let finding = Finding {
        remedies: vec![remedy("end 41207 and 41190, then", Some("GOPROXY=direct go mod download"))],
        facts: vec![
            fact("since", &["6 min 12 s, in ~/app, started by gopls (pid 3300)"]),
            fact("modules", &["example.com/lib v1.4.2 (zip)"]),
            fact("server", &["192.0.2.10 port 443, first entry of GOPROXY"]),
            fact("seen", &["request acknowledged; 0 bytes back; goroutine 52 awaits headers"]),
            fact("checked", &["twice, 1 s apart: nothing moved"]),
            fact("behind", &["go mod download (pid 41207) waits for its lock"]),
        ],
        ..finding(
            "http-silent",
            "go list ./... (pid 41190) is waiting for proxy.example.com to answer.",
        )
    };
    let context = Context { prefix: "", closing: Closing::Unseen(Vec::new()), ..context(&finding) };
    let parts = attached_begin(&finding, &context) + &attached_end(&finding, &context);
    assert_eq!(parts, attached(&finding, &context), "the first part stands at once");
    assert_eq!(
        attached(&finding, &context),
        "\
go list ./... (pid 41190) is waiting for proxy.example.com to answer.

  since     6 min 12 s, in ~/app, started by gopls (pid 3300)
  modules   example.com/lib v1.4.2 (zip)
  server    192.0.2.10 port 443, first entry of GOPROXY
  seen      request acknowledged; 0 bytes back; goroutine 52 awaits headers
  checked   twice, 1 s apart: nothing moved
  behind    go mod download (pid 41207) waits for its lock
  try       end 41207 and 41190, then GOPROXY=direct go mod download
  unseen    nothing                              http-silent, certain
"
    );
}

#[test]
fn long_names_are_cut_in_the_middle_and_commands_are_not() {
    let long = format!("/home/user/{}/v1.4.2.lock", "deep/".repeat(40));
    let command = format!("cat {long}");
    let finding = Finding {
        facts: vec![fact("lock", &[&long])],
        limit: Some(format!("{} for ever", "wait ".repeat(30).trim())),
        remedies: vec![remedy("look at it:", Some(&command))],
        ..finding("lock-held", &format!("somebody holds {long} and does not let go."))
    };
    let message = said(&finding);
    let wide: Vec<&str> = message.lines().filter(|line| width(line) > 80).collect();
    assert_eq!(wide, [format!("            {command}")]);
    assert!(message.contains("…") && message.contains("v1.4.2.lock and does not let go."));
    assert!(
        message.contains("\n            wait wait"),
        "sentences go on in the next line: {message}"
    );
}

#[test]
fn the_code_moves_left_and_then_down_where_it_finds_no_room() {
    let ending = |hint: &str, code: &str| {
        let finding = Finding { symptom: "lock-unsupported".to_owned(), ..finding(code, "x") };
        let closing = Closing::More(hint.to_owned());
        let message = stall(&finding, &Context { closing, ..context(&finding) });
        message.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        ending("gmtrace -p 4119012345", "connect-refused"),
        [
            "  more      gmtrace -p 4119012345",
            "            connect-refused, certain; seen as lock-unsupported",
        ]
    );
    assert_eq!(
        ending("gmtrace report", "disk-full"),
        ["  more      gmtrace report        disk-full, certain; seen as lock-unsupported"]
    );
}

#[test]
fn what_could_harm_is_never_under_try() {
    let message = said(&full_finding());
    assert!(message.contains("  try       Ctrl-C, then GOPROXY=direct go mod download\n"));
    assert!(message.contains("  risky     empty the cache: go clean -modcache\n"));
    assert!(message.contains("  never     delete the lock file\n"));
}

#[test]
fn a_hint_names_only_what_is_there() {
    let held = full_finding();
    let none = Offers::default();
    assert_eq!(hint(&held, ALL), "gmtrace -p 41190");
    assert_eq!(hint(&held, Offers { report: true, ..none }), "gmtrace report");
    assert_eq!(hint(&held, none), "gmtrace explain http-silent");
    assert_eq!(hint(&finding("dns-failed", ""), ALL), "gmtrace doctor");
    assert_eq!(hint(&finding("prompt", ""), ALL), "gmtrace explain prompt");
}

#[test]
fn colours_repeat_and_change_nothing() {
    let finding = full_finding();
    let colored = Context { color: Palette::COLORS, ..context(&finding) };
    let colored = stall(&finding, &colored);
    assert!(colored.contains("\u{1b}[1m"), "the first line is bold");
    assert_eq!(strip(&colored), said(&finding));
}

/// Text without SGR sequences.
fn strip(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once('m').expect("an SGR sequence").1)
}
