//! The rows that there have to be, each with one right answer.

use super::test::Test;

/// A row: its number, and what hangs.
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
}

const fn row(id: &'static str, title: &'static str) -> Row {
    Row { id, title }
}

pub(super) const ROWS: &[Row] = &[
    row("N1", "a resolver swallows every query"),
    row("N2", "the same for getaddrinfo"),
    row("N3", "A is answered, AAAA never"),
    row("N4", "the first of three resolvers is dead"),
    row("N5", "SERVFAIL, NXDOMAIN"),
    row("N6", "nobody listens at the resolver"),
    row("N7", "a name of the search list is not answered"),
    row("N8", "SYNs are swallowed"),
    row("N9", "the connection is refused"),
    row("N10", "the network is unreachable"),
    row("N11", "the first of two addresses is silent"),
    row("N12", "the ClientHello is not answered"),
    row("N13", "a large ClientHello is not answered"),
    row("N14", "the certificate is not accepted"),
    row("N15", "a request inside TLS is not answered"),
    row("N16", "a request is not answered"),
    row("N17", "half a zip comes, then nothing"),
    row("N18", "a zip comes at 2 kB/s: no stall"),
    row("N19", "one stream of many stalls on a connection"),
    row("N20", "the connection is cut in a body"),
    row("N21", "the path dies"),
    row("N22", "a redirect leads to a silent host"),
    row("N23", "a web proxy does not answer CONNECT"),
    row("N24", "a web proxy wants credentials"),
    row("N25", "the checksum database is silent"),
    row("N26", "a toolchain does not come"),
    row("N27", "GOPROXY=a,b, and a times out"),
    row("N28", "GOPROXY=a\\|b, and a is silent"),
    row("N29", "429 and 503"),
    row("N30", "one of 200 modules does not come"),
    row("N31", "a login page comes"),
    row("N32", "a private module is asked of a public proxy"),
    row("N33", "a zip does not match go.sum"),
    row("N34", "a newer go is wanted"),
    row("N35", "IPv6 is silent in TLS"),
    row("L1", "another process holds the lock of a version"),
    row("L2", "the holder is a go command, silent on the network"),
    row("L3", "three go commands in a row"),
    row("L4", "the locks of the cache, a repository, go.sum"),
    row("L5", "the locker died, its child keeps the lock"),
    row("L6", "the holder is stopped"),
    row("L7", "the holder lives in another pid namespace"),
    row("L8", "a lock file that nobody holds: no stall"),
    row("L9", "two wait for each other's locks"),
    row("L10", "the filesystem refuses locks"),
    row("C1", "the git server is silent"),
    row("C2", "ssh asks for a host key"),
    row("C3", "git asks for a user name"),
    row("C4", "a credential helper does not answer"),
    row("C5", "a GOAUTH command does not answer"),
    row("C6", "a daemon keeps the pipe of git, which has ended"),
    row("C7", "git is stopped by SIGTTIN"),
    row("C8", "git resolves a name, the resolver is silent"),
    row("C9", "a GOCACHEPROG does not answer"),
    row("C10", "a program that go runs hangs by itself"),
    row("C11", "a process of this machine waits itself"),
    row("C12", "git is not let in"),
    row("C13", "go or a child is killed"),
    row("C14", "a daemon is left behind: no stall"),
    row("S1", "the disk does not answer"),
    row("S2", "the disk is full"),
    row("S3", "go is stopped"),
    row("S4", "the control group is frozen"),
    row("S5", "the CPU quota is 1 %"),
    row("S6", "GO111MODULE=off"),
    row("S7", "there is no go.mod"),
    row("S8", "go.mod requires nothing"),
    row("S9", "GOPROXY=off"),
    row("S10", "-mod=vendor"),
    row("S11", "the module cache is damaged"),
    row("S12", "a Go program waits for itself"),
    row("S13", "a Go program spins"),
    row("S14", "a shell waits for input"),
    row("S15", "others have the CPU"),
    row("S16", "events were lost"),
    row("H1", "the graph of a real module"),
    row("H2", "a warm cache"),
    row("H3", "every response is 200 ms late"),
    row("H4", "every response comes at 100 kB/s"),
    row("H5", "twenty go commands share a cache"),
    row("H6", "go builds a large program"),
    row("H7", "an idle server with kept connections"),
    row("H8", "one zip of 200 MB over a slow link"),
    row("H9", "git computes for long without traffic"),
    row("H10", "go test sleeps"),
];

/// Why a row that is missing has no scenario.
pub(super) const WHY_MISSING: &str = "no scenario yet";

/// The rows that no test belongs to.
pub(super) fn missing(tests: &[Test]) -> Vec<&'static Row> {
    let is_there = |row: &&Row| tests.iter().any(|test| test.row().as_deref() == Some(row.id));
    ROWS.iter().filter(|row| !is_there(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_there_once() {
        let series = [("N", 35), ("L", 10), ("C", 14), ("S", 16), ("H", 10)];
        let all =
            series.into_iter().flat_map(|(letter, last)| (1..=last).map(move |n| (letter, n)));
        let wanted: Vec<String> = all.map(|(letter, n)| format!("{letter}{n}")).collect();
        let there: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(there, wanted);
    }

    #[test]
    fn a_row_without_a_test_is_missing() {
        let test = Test::parse("names::n1_the_resolver_is_silent::ptrace").unwrap();
        let missing = missing(&[test]);
        assert_eq!(missing.len(), ROWS.len() - 1);
        assert_eq!(missing.first().map(|row| row.id), Some("N2"));
    }
}
