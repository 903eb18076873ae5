//! The names of the tests, and which are meant.

use anyhow::{Result, ensure};
use clap::ValueEnum;

/// How gmtrace comes to see a hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Way {
    /// It starts the command, and stops it at some system calls
    Ptrace,
    /// It starts the command, and has programs in the kernel
    Ebpf,
    /// It comes when the command hangs already
    Attach,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Ptrace, Self::Ebpf, Self::Attach];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ptrace => "ptrace",
            Self::Ebpf => "ebpf",
            Self::Attach => "attach",
        }
    }
}

/// A scenario in one way of looking: `http2::n17_half_a_zip_comes::ebpf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// `http2::n17_half_a_zip_comes`.
    pub(super) scenario: String,
    pub(super) way: Way,
}

impl Test {
    /// None for tests that are no scenarios.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (scenario, way) = name.rsplit_once("::")?;
        let way = Way::ALL.into_iter().find(|known| known.name() == way)?;
        Some(Self { scenario: scenario.to_owned(), way })
    }

    /// As libtest knows it.
    pub(super) fn name(&self) -> String {
        format!("{}::{}", self.scenario, self.way.name())
    }

    /// `N17`, where it belongs to a row.
    pub(super) fn row(&self) -> Option<String> {
        let (row, _) = self.function().split_once('_')?;
        let number = row.strip_prefix(|first: char| "nlcsh".contains(first))?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| row.to_uppercase())
    }

    /// `N17 http2: half a zip comes`.
    pub(super) fn title(&self) -> String {
        let (row, function) = (self.row().unwrap_or_default(), self.function());
        let words = match row.is_empty() {
            true => function,
            false => function.split_once('_').map_or(function, |(_, words)| words),
        };
        let room = self.scenario.split("::").next().unwrap_or_default();
        format!("{row:<3} {room}: {}", words.replace('_', " "))
    }

    fn function(&self) -> &str {
        self.scenario.rsplit("::").next().unwrap_or_default()
    }
}

/// Those of these ways, all if there are none, whose row or name the filter means; by row.
pub(super) fn choose(tests: &[Test], filter: Option<&str>, ways: &[Way]) -> Result<Vec<Test>> {
    let filter = filter.unwrap_or_default();
    let is_row = tests.iter().any(|test| is_of_row(test, filter));
    let is_meant = |test: &&Test| match is_row {
        true => is_of_row(test, filter),
        false => test.name().contains(filter),
    };
    let in_ways = |test: &&Test| ways.is_empty() || ways.contains(&test.way);
    let mut chosen: Vec<Test> = tests.iter().filter(is_meant).filter(in_ways).cloned().collect();
    ensure!(
        !chosen.is_empty(),
        "no scenario is called {filter:?}; a filter is a row such as N17, or a part of a name in tests/tests/zoo"
    );
    chosen.sort_by_key(|test| (order(test.row().as_deref()), test.scenario.clone(), test.way));
    Ok(chosen)
}

fn is_of_row(test: &Test, filter: &str) -> bool {
    test.row().is_some_and(|row| row.eq_ignore_ascii_case(filter))
}

/// N before L, C, S and H; 2 before 10; what has no row comes last.
fn order(row: Option<&str>) -> (usize, u32) {
    let place = |row: &str| {
        let letter = "NLCSH".find(row.get(..1)?)?;
        Some((letter, row.get(1..)?.parse().ok()?))
    };
    row.and_then(place).unwrap_or((usize::MAX, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Test {
        Test::parse(name).unwrap()
    }

    #[test]
    fn a_name_has_a_row_and_a_way() {
        let test = named("http2::n17_half_a_zip_comes::ebpf");
        assert_eq!((test.row().as_deref(), test.way), (Some("N17"), Way::Ebpf));
        assert_eq!(test.title(), "N17 http2: half a zip comes");
        assert_eq!(test.name(), "http2::n17_half_a_zip_comes::ebpf");
        assert_eq!(named("commands::below_make::attach").row(), None);
        assert_eq!(named("commands::below_make::attach").title(), "    commands: below make");
        assert_eq!(named("commands::l_is_no_number::attach").row(), None);
        assert_eq!(Test::parse("parity::a_warm_cache"), None);
    }

    #[test]
    fn a_filter_means_a_row_or_a_part_of_a_name() {
        let names = ["a::n10_x::attach", "a::n2_y::ptrace", "a::n1_z::ebpf", "a::go_n1::ebpf"];
        let all: Vec<Test> = names.map(named).into();
        let chosen = |filter, ways: &[Way]| -> Vec<String> {
            choose(&all, filter, ways).unwrap().iter().map(Test::name).collect()
        };
        assert_eq!(chosen(Some("N1"), &[]), ["a::n1_z::ebpf"]);
        assert_eq!(chosen(Some("n1"), &[]), ["a::n1_z::ebpf"]);
        assert_eq!(chosen(Some("_y"), &[]), ["a::n2_y::ptrace"]);
        assert_eq!(chosen(None, &[Way::Ebpf]), ["a::n1_z::ebpf", "a::go_n1::ebpf"]);
        assert_eq!(chosen(None, &[]).first().unwrap(), "a::n1_z::ebpf");
        assert_eq!(chosen(None, &[]).get(1).unwrap(), "a::n2_y::ptrace");
        assert!(choose(&all, Some("nothing"), &[]).is_err());
    }
}
