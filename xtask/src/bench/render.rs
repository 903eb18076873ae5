//! The results as text, Markdown and JSON.

use anyhow::Result;
use serde_json::{Value, json};

use super::results::{Cell, LookResult, Results, RowResult};
use super::statistics::{Ratio, median};

const HEAD: [&str; 8] = [
    "work",
    "under",
    "median",
    "ratio to the first, 95 %",
    "CPU time",
    "peak memory",
    "stops",
    "events",
];

type Line = [String; HEAD.len()];

/// A table for a terminal, with the machine and the looks below.
pub(super) fn text(results: &Results) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(results.rows.iter().flat_map(table_lines));
    let widths: Vec<_> = (0..HEAD.len()).map(|column| widest(&lines, column)).collect();
    let padded = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    document(results, &padded.collect::<String>(), "")
}

/// The same as a Markdown table and a list.
pub(super) fn markdown(results: &Results) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = row(&HEAD.map(str::to_owned)) + &row(&HEAD.map(|_| "---".to_owned()));
    let body = results.rows.iter().flat_map(table_lines).map(|line| row(&line));
    document(results, &(head + &body.collect::<String>()), "- ")
}

/// The table, the looks and the machine; what was not asked for is left out.
fn document(results: &Results, table: &str, bullet: &str) -> String {
    let table = if results.rows.is_empty() { "" } else { table };
    let looks: String =
        results.looks.iter().map(|look| format!("{bullet}{}\n", look_line(look))).collect();
    let parts = [table, &looks, &footer(results)];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}\n", parts.join("\n"))
}

/// Everything, with the seconds of every run.
pub(super) fn json(results: &Results) -> Result<String> {
    let machine = &results.machine;
    let document = json!({
        "machine": {
            "cpus": machine.cpus,
            "architecture": machine.architecture,
            "kernel": machine.kernel,
            "versions": machine.versions,
        },
        "blocks": results.blocks,
        "seed": results.seed,
        "rows": results.rows.iter().map(json_row).collect::<Vec<_>>(),
        "attach": results.looks.iter().map(json_look).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&document)?)
}

fn footer(results: &Results) -> String {
    let runs = u64::from(results.blocks) * 2;
    let fewer = results.rows.iter().filter_map(|row| {
        let own = row.cells.first()?.seconds.len();
        (u64::try_from(own).ok()? < runs).then(|| format!(" ({own} of {})", row.name))
    });
    let fewer: String = fewer.collect();
    if results.rows.is_empty() {
        return format!("{}.", results.machine.line());
    }
    format!("{runs} runs of each{fewer}, interleaved; {}.", results.machine.line())
}

/// `attach to a hung go mod download: first answer 23.00 ms, confirmed 1.270 s, ...`
fn look_line(result: &LookResult) -> String {
    let of = |seconds: Vec<f64>| median(&seconds).map_or("unknown".to_owned(), duration);
    let memory = result.peak_memory.map_or("unknown".to_owned(), mebibytes);
    format!(
        "attach to {}: first answer {}, confirmed {}, peak memory {memory}; median of {}",
        result.target,
        of(result.first()),
        of(result.confirmed()),
        result.looks.len()
    )
}

fn table_lines(row: &RowResult) -> Vec<Line> {
    let name = |index| match (index, &row.invalid) {
        (0, None) => row.name.to_owned(),
        (0, Some(_)) => format!("{} (INVALID)", row.name),
        _ => String::new(),
    };
    row.cells.iter().enumerate().map(|(index, cell)| table_line(name(index), cell)).collect()
}

fn table_line(name: String, cell: &Cell) -> Line {
    [
        name,
        cell.column.to_owned(),
        cell.median.map(duration).unwrap_or_default(),
        cell.ratio.map(interval).unwrap_or_default(),
        cell.cpu.map(duration).unwrap_or_default(),
        cell.peak_memory.map(mebibytes).unwrap_or_default(),
        cell.stops.map(|stops| stops.to_string()).unwrap_or_default(),
        cell.events.map(|events| events.to_string()).unwrap_or_default(),
    ]
}

fn widest(lines: &[Line], column: usize) -> usize {
    lines
        .iter()
        .filter_map(|line| line.get(column))
        .map(|cell| cell.chars().count())
        .max()
        .unwrap_or(0)
}

fn duration(seconds: f64) -> String {
    if seconds < 0.1 { format!("{:.2} ms", seconds * 1e3) } else { format!("{seconds:.3} s") }
}

fn interval(ratio: Ratio) -> String {
    format!("{:.2} [{:.2}, {:.2}]", ratio.value, ratio.low, ratio.high)
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

fn json_row(row: &RowResult) -> Value {
    json!({
        "name": row.name,
        "invalid": row.invalid,
        "columns": row.cells.iter().map(json_cell).collect::<Vec<_>>(),
    })
}

fn json_look(result: &LookResult) -> Value {
    let (first, confirmed) = (result.first(), result.confirmed());
    json!({
        "target": result.target,
        "first_answer_median": median(&first),
        "confirmed_median": median(&confirmed),
        "first_answer_seconds": first,
        "confirmed_seconds": confirmed,
        "peak_memory_bytes": result.peak_memory,
    })
}

fn json_cell(cell: &Cell) -> Value {
    json!({
        "name": cell.column,
        "seconds": cell.seconds,
        "median": cell.median,
        "ratio": cell.ratio.map(|r| json!({ "value": r.value, "low": r.low, "high": r.high })),
        "cpu_seconds": cell.cpu,
        "peak_memory_bytes": cell.peak_memory,
        "stops": cell.stops,
        "events": cell.events,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Machine;
    use crate::bench::results::Look;

    fn results() -> Results {
        let cell = |column, ratio| Cell {
            column,
            seconds: vec![0.25],
            median: Some(0.25),
            cpu: Some(0.5),
            ratio,
            peak_memory: Some(3 << 19),
            events: Some(12),
            stops: None,
        };
        let ratio = Ratio { value: 1.057, low: 1.0, high: 1.1 };
        let cells = vec![cell("bare", None), cell("gmtrace", Some(ratio))];
        let row = RowResult { name: "list-std", cells, invalid: None };
        let versions = vec!["go1".to_owned(), "gmtrace 0".to_owned()];
        let machine = Machine { cpus: 2, architecture: "x", kernel: "6".to_owned(), versions };
        Results { machine, blocks: 3, seed: 1, rows: vec![row], looks: Vec::new() }
    }

    #[test]
    fn the_text_lines_up() {
        assert_eq!(
            text(&results()),
            "work      under    median   ratio to the first, 95 %  CPU time  peak memory  stops  events\n\
             list-std  bare     0.250 s                            0.500 s   1.5 MiB             12\n          \
             gmtrace  0.250 s  1.06 [1.00, 1.10]         0.500 s   1.5 MiB             12\n\n\
             6 runs of each (1 of list-std), interleaved; 2 CPUs, x, Linux 6; go1; gmtrace 0.\n"
        );
    }

    fn with_looks() -> Results {
        let looks = [(0.02, 1.2), (0.04, 1.4), (0.03, 1.3)];
        let looks = looks.map(|(first, confirmed)| Look { first, confirmed }).into();
        let look = LookResult { target: "a process", looks, peak_memory: Some(3 << 19) };
        Results { looks: vec![look], ..results() }
    }

    const LOOK: &str = "attach to a process: first answer 30.00 ms, confirmed 1.300 s, \
                        peak memory 1.5 MiB; median of 3\n\n";

    #[test]
    fn the_looks_stand_below_the_table() {
        let machine = "6 runs of each (1 of list-std)";
        assert!(text(&with_looks()).contains(&format!("12\n\n{LOOK}{machine}")));
        assert!(markdown(&with_looks()).contains(&format!("12 |\n\n- {LOOK}{machine}")));
    }

    #[test]
    fn looks_alone_have_no_table() {
        let results = Results { rows: Vec::new(), ..with_looks() };
        let machine = "2 CPUs, x, Linux 6; go1; gmtrace 0.\n";
        assert_eq!(text(&results), format!("{LOOK}{machine}"));
        assert_eq!(markdown(&results), format!("- {LOOK}{machine}"));
    }

    #[test]
    fn json_has_the_seconds_of_every_look() {
        let document: Value = serde_json::from_str(&json(&with_looks()).unwrap()).unwrap();
        let look = document.pointer("/attach/0").unwrap();
        assert_eq!(look.get("first_answer_seconds"), Some(&json!([0.02, 0.04, 0.03])));
        assert_eq!(look.get("confirmed_median"), Some(&json!(1.3)));
        assert_eq!(look.get("peak_memory_bytes"), Some(&json!(3 << 19)));
    }

    #[test]
    fn an_invalid_row_says_so() {
        let mut results = results();
        results.rows.iter_mut().for_each(|row| row.invalid = Some("lost 3".to_owned()));
        assert!(markdown(&results).contains("| list-std (INVALID) | bare | 0.250 s |"));
        assert_eq!(results.invalid(), ["list-std: lost 3"]);
    }

    #[test]
    fn short_times_are_in_milliseconds() {
        assert_eq!(duration(0.00213), "2.13 ms");
        assert_eq!(duration(1.5), "1.500 s");
    }
}
