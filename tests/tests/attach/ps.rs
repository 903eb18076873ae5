//! `gmtrace ps`.

use anyhow::{Context, Result, ensure};
use gmtrace_tests::processes::settle;
use gmtrace_tests::zoo;
use serde_json::Value;

use crate::parts::{Silent, stderr, stdout};

#[test]
fn who_holds_up_whom() -> Result<()> {
    let silent = Silent::new()?;
    let holder = silent.hang()?;
    let waiter = zoo::hang(silent.download())?;
    let lock = silent.project.modcache().join("cache/download/example.com/m000/@v/v1.0.0.lock");
    gmtrace_tests::holder::wait_for_queue(&lock)?;
    [&holder, &waiter].into_iter().for_each(|go| settle(go.pid().as_raw()));

    let list: Value = serde_json::from_str(&said(&["ps", "-F", "json"])?)?;
    let schema: Value = serde_json::from_str(&said(&["schema", "ps"])?)?;
    jsonschema::validator_for(&schema)?.validate(&list).map_err(|error| error.to_owned())?;
    let row = |pid: nix::unistd::Pid| {
        let rows = list["processes"].as_array().context("no rows")?;
        rows.iter()
            .find(|row| row["pid"] == pid.as_raw())
            .with_context(|| format!("{pid}: {list:#}"))
    };
    let (first, second) = (row(holder.pid())?, row(waiter.pid())?);
    assert_eq!(first["state"], "waiting", "{list:#}");
    assert_eq!(first["waiting_for"]["code"], "http-silent");
    assert_eq!(first["waiting_for"]["peer"]["port"], silent.proxy.address().port());
    assert_eq!(first["holds_up"], serde_json::json!([waiter.pid().as_raw()]));
    assert_eq!(second["waiting_for"]["holders"], serde_json::json!([holder.pid().as_raw()]));
    assert_eq!(second["cwd"], silent.project.directory().to_string_lossy().as_ref());

    let text = said(&["ps"])?;
    // Eighty columns may be too few for all of it.
    let row = text.lines().find(|line| line.trim_start().starts_with(&waiter.pid().to_string()));
    let row = row.context(text.clone())?;
    assert!(row.contains("waiting  go mod download") && row.ends_with(" v1.0.0)"), "{text}");
    let last = format!("{} holds up 1 other. Look closer: gmtrace -p {0}\n", holder.pid());
    assert!(text.ends_with(&last), "{text}");
    Ok(())
}

#[test]
fn what_is_no_go_command_is_not_listed() -> Result<()> {
    let list: Value = serde_json::from_str(&said(&["ps", "-F", "json"])?)?;
    let rows = list["processes"].as_array().context("no rows")?;
    let own = std::process::id();
    assert!(rows.iter().all(|row| row["pid"] != own), "{list:#}");
    Ok(())
}

fn said(words: &[&str]) -> Result<String> {
    let output = zoo::gmtrace(words)?;
    ensure!(output.status.success(), "{words:?}: {}{}", output.status, stderr(&output));
    Ok(stdout(&output))
}
