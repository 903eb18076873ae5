//! What was measured, between measuring and printing.

use std::process::ExitStatus;

use super::machine::Machine;
use super::measure::typical_events;
use super::statistics::{Ratio, median, ratio};

/// Everything a renderer needs.
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) blocks: u32,
    pub(super) seed: u64,
    pub(super) rows: Vec<RowResult>,
    /// Of the row `attach`.
    pub(super) looks: Vec<LookResult>,
}

/// What `gmtrace -p` took for one kind of process.
pub(super) struct LookResult {
    /// What was looked into.
    pub(super) target: &'static str,
    pub(super) looks: Vec<Look>,
    /// Bytes.
    pub(super) peak_memory: Option<u64>,
}

/// One run of `gmtrace -p`: the seconds from its start to what it printed.
pub(super) struct Look {
    /// To the first byte.
    pub(super) first: f64,
    /// To the last byte: the second reading has confirmed the answer, or given it.
    pub(super) confirmed: f64,
}

/// One kind of work under every column.
pub(super) struct RowResult {
    pub(super) name: &'static str,
    pub(super) cells: Vec<Cell>,
    /// Why the row says nothing, if it does not.
    pub(super) invalid: Option<String>,
}

/// One kind of work under one column.
pub(super) struct Cell {
    pub(super) column: &'static str,
    /// Of every run, in the order of the runs.
    pub(super) seconds: Vec<f64>,
    pub(super) median: Option<f64>,
    /// The median of the seconds of CPU time that the tool and the work used together.
    pub(super) cpu: Option<f64>,
    /// To the first column; `None` for that itself.
    pub(super) ratio: Option<Ratio>,
    /// Bytes.
    pub(super) peak_memory: Option<u64>,
    pub(super) events: Option<u64>,
    pub(super) stops: Option<u64>,
}

/// The runs of one column.
pub(super) struct Measured {
    column: &'static str,
    peak_memory: Option<u64>,
    stops: Option<u64>,
    pub(super) runs: Vec<Run>,
}

/// One run.
pub(super) struct Run {
    pub(super) seconds: f64,
    /// Seconds of CPU time, of the tool and the work together.
    pub(super) cpu: f64,
    pub(super) status: ExitStatus,
    /// Standard error of a run that failed.
    pub(super) said: Option<String>,
    /// Files in the module cache afterwards.
    pub(super) cache_files: u64,
    /// How many events the tool wrote, where it writes any.
    pub(super) events: Result<Option<u64>, String>,
}

impl Results {
    /// The rows that say nothing, each with its reason.
    pub(super) fn invalid(&self) -> Vec<String> {
        let reason = |row: &RowResult| Some(format!("{}: {}", row.name, row.invalid.as_ref()?));
        self.rows.iter().filter_map(reason).collect()
    }
}

impl LookResult {
    /// Of every look, in their order.
    pub(super) fn first(&self) -> Vec<f64> {
        self.looks.iter().map(|look| look.first).collect()
    }

    /// Of every look, in their order.
    pub(super) fn confirmed(&self) -> Vec<f64> {
        self.looks.iter().map(|look| look.confirmed).collect()
    }
}

impl Measured {
    pub(super) fn new(column: &'static str, peak_memory: Option<u64>, stops: Option<u64>) -> Self {
        Self { column, peak_memory, stops, runs: Vec::new() }
    }

    fn seconds(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.seconds).collect()
    }

    fn cell(&self, base: Option<&Self>, seed: u64) -> Cell {
        let seconds = self.seconds();
        Cell {
            column: self.column,
            median: median(&seconds),
            cpu: median(&self.runs.iter().map(|run| run.cpu).collect::<Vec<_>>()),
            ratio: base.and_then(|base| ratio(&seconds, &base.seconds(), seed)),
            seconds,
            peak_memory: self.peak_memory,
            events: typical_events(&self.runs),
            stops: self.stops,
        }
    }
}

impl RowResult {
    /// Compares each column with the first.
    pub(super) fn new(name: &'static str, measured: Vec<Measured>, seed: u64) -> Self {
        let base = |index| if index == 0 { None } else { measured.first() };
        let cells =
            measured.iter().enumerate().map(|(n, found)| found.cell(base(n), seed)).collect();
        Self { name, cells, invalid: difference(&measured) }
    }
}

/// The first run that did not do the same work as the first bare one.
fn difference(measured: &[Measured]) -> Option<String> {
    let model = measured.first()?.runs.first()?;
    measured.iter().find_map(|found| {
        let wrong = found.runs.iter().find_map(|run| run.differs(model))?;
        Some(format!("{}: {wrong}", found.column))
    })
}

impl Run {
    fn differs(&self, model: &Self) -> Option<String> {
        let files = (self.cache_files, model.cache_files);
        match &self.events {
            _ if !self.status.success() => {
                Some(format!("{}: {}", self.status, self.said.as_deref().unwrap_or_default()))
            }
            _ if files.0 != files.1 => {
                Some(format!("{} files in the module cache instead of {}", files.0, files.1))
            }
            Err(reason) => Some(reason.clone()),
            Ok(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn run(status: i32, cache_files: u64) -> Run {
        let status = ExitStatus::from_raw(status << 8);
        Run { seconds: 1.0, cpu: 0.5, status, said: None, cache_files, events: Ok(Some(3)) }
    }

    fn row(other: Run) -> RowResult {
        let mut bare = Measured::new("bare", None, None);
        bare.runs.push(run(0, 800));
        let mut tool = Measured::new("tool", None, None);
        tool.runs.push(other);
        RowResult::new("row", vec![bare, tool], 1)
    }

    #[test]
    fn a_row_is_valid_when_all_runs_did_the_same() {
        assert_eq!(row(run(0, 800)).invalid, None);
    }

    #[test]
    fn another_status_cache_or_a_loss_makes_the_row_invalid() {
        assert_eq!(row(run(1, 800)).invalid.as_deref(), Some("tool: exit status: 1: "));
        let fewer = row(run(0, 799)).invalid.unwrap();
        assert_eq!(fewer, "tool: 799 files in the module cache instead of 800");
        let lossy = Run { events: Err("lost 3".into()), ..run(0, 800) };
        assert_eq!(row(lossy).invalid.as_deref(), Some("tool: lost 3"));
    }

    #[test]
    fn only_the_other_columns_have_a_ratio() {
        let ratios: Vec<_> = row(run(0, 800)).cells.iter().map(|c| c.ratio.is_some()).collect();
        assert_eq!(ratios, [false, true]);
    }
}
