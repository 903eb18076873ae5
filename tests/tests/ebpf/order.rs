//! Each processor writes its own records; they are told in the order in which things happened.

use anyhow::Result;
use gmtrace_tests::harness::Launch;
use serde_json::Value;

use super::kernel;

#[test]
fn what_happens_on_one_processor_after_the_other() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let times = 5000;
    let launch = Launch::fixture("hops")?.arg(times.to_string()).option("--backend=ebpf");
    let recording = launch.runs_alike()?.recording()?;
    let locks: Vec<&Value> = recording.of("lock-request").collect();
    assert_eq!(locks.len(), times);
    for (number, pair) in locks.windows(2).enumerate() {
        assert!(pair[0]["t"].as_u64() <= pair[1]["t"].as_u64(), "{number}: {pair:?}");
    }
    let modes: Vec<&str> = locks.iter().filter_map(|lock| lock["mode"].as_str()).collect();
    assert_eq!(modes, ["shared", "exclusive"].repeat(times / 2));
    Ok(())
}
