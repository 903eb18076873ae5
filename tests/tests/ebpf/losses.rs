//! What the rings have no room for is counted.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use gmtrace_tests::harness::{How, Launch};
use serde_json::Value;

use super::kernel;

/// What became of the records of one kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) made: u64,
    pub(crate) received: u64,
    pub(crate) dropped: u64,
    pub(crate) unpaired: u64,
}

/// A debug build makes its rings this large.
const RING: &str = "GMTRACE_TEST_RING";

#[test]
fn every_record_is_received_or_lost_and_losses_are_told() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let times = 1_000_000;
    let launch = Launch::fixture("storm")?.arg(times.to_string());
    let launch = launch.env(RING, "4096").option("--backend=ebpf").option("-vv");
    let timeline = launch.room().join("run.json");
    let launch = launch.option("-o").option(timeline.display().to_string());
    let outcome = launch.run(How::Traced)?;
    assert_eq!(outcome.text(), format!("{times}\n"));
    let records = records(&String::from_utf8(outcome.stderr.clone())?)?;
    for kind in ["Flock", "Signal"] {
        assert_eq!(records[kind].made, times, "{kind}");
        assert!(records[kind].dropped > 0, "{kind}");
    }
    for (kind, Records { made, received, dropped, .. }) in &records {
        assert_eq!(*made, received + dropped, "{kind}");
    }
    // The losses of the report are those, no more and no fewer.
    let report: Value = serde_json::from_str(&std::fs::read_to_string(timeline)?)?;
    let told = report["losses"].as_object().context("no losses")?;
    let lost = records.iter().filter(|(_, records)| records.dropped > 0);
    let expected: BTreeMap<String, u64> = lost
        .map(|(kind, records)| {
            (format!("{}: the ring buffer was full", kind.to_lowercase()), records.dropped)
        })
        .collect();
    let of_rings = told.iter().filter(|(cause, _)| cause.ends_with("the ring buffer was full"));
    let told: BTreeMap<String, u64> =
        of_rings.filter_map(|(cause, count)| Some((cause.clone(), count.as_u64()?))).collect();
    assert_eq!(told, expected);
    Ok(())
}

/// With its own rings, nothing is lost that comes no faster than a busy go command makes it.
#[test]
fn a_thousand_at_a_time_are_all_received() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let launch = Launch::fixture("storm")?.arg("1000").option("--backend=ebpf").option("-vv");
    let outcome = launch.run(How::Traced)?;
    let records = records(&String::from_utf8(outcome.stderr)?)?;
    for kind in ["Flock", "Signal"] {
        let all = Records { made: 1000, received: 1000, ..Records::default() };
        assert_eq!(records[kind], all, "{kind}");
    }
    Ok(())
}

/// The lines that `-vv` writes at the end.
pub(crate) fn records(said: &str) -> Result<BTreeMap<String, Records>> {
    let lines = said.lines().filter_map(|line| line.split_once("records: "));
    let all: BTreeMap<_, _> = lines
        .map(|(_, line)| {
            let (kind, counts) = line.split_once(": ").context("no kind")?;
            let count = |what: &str| -> Result<u64> {
                let mut words = counts.split([' ', ',']).skip_while(|word| *word != what);
                Ok(words.nth(1).with_context(|| format!("no {what}: {line}"))?.parse()?)
            };
            let (made, received) = (count("made")?, count("received")?);
            let (dropped, unpaired) = (count("dropped")?, count("unpaired")?);
            Ok((kind.to_owned(), Records { made, received, dropped, unpaired }))
        })
        .collect::<Result<_>>()?;
    anyhow::ensure!(!all.is_empty(), "nothing is told of records: {said}");
    Ok(all)
}
