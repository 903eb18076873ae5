//! gmtrace never hangs with what it watches: a disk that does not answer, under each place that it might touch.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use gmtrace_tests::disk::DeadDisk;
use gmtrace_tests::lab::Lab;
use gmtrace_tests::scenario;
use gmtrace_tests::zoo::Way;

use crate::system::Place;

/// A dead disk at a directory beside the project.
fn dead_disk(lab: &Lab, place: &Place) -> Result<(PathBuf, DeadDisk)> {
    let directory = place.project.room().join("dead");
    fs::create_dir(&directory)?;
    Ok((directory.clone(), DeadDisk::mount(lab, &directory)?))
}

scenario!(s1_the_module_cache_lies_on_a_dead_disk(way, lab));
fn s1_the_module_cache_lies_on_a_dead_disk(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new()?;
    let (dead, disk) = dead_disk(lab, &place)?;
    let hang = way.run(place.download().env("GOMODCACHE", dead.join("mod")))?;
    disk.wait_for("mod")?;
    let answer = hang.stalls()?;
    let found = answer.expect("fs-blocked").state("stalled").path(dead.join("mod"));
    found.says(&format!("{} (fuse)", dead.display()));
    disk.abort()?;
    hang.fails()?;
    Ok(())
}

scenario!(s1_the_working_directory_lies_on_a_dead_disk(way, lab));
fn s1_the_working_directory_lies_on_a_dead_disk(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new()?;
    let (dead, disk) = dead_disk(lab, &place)?;
    let hang = way.run(place.download().directory(&dead))?;
    disk.wait_for("go.work")?;
    let answer = hang.stalls()?;
    let found = answer.expect("fs-blocked").state("stalled").path(&dead);
    found.says(&format!("{} (fuse)", dead.display()));
    disk.abort()?;
    hang.fails()?;
    Ok(())
}

scenario!(a_dead_disk_under_the_state_directory(way, lab), launch only: "a look keeps no state");
fn a_dead_disk_under_the_state_directory(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new()?;
    let (dead, disk) = dead_disk(lab, &place)?;
    let state =
        place.download().env("GMTRACE_STATE", "on").env("XDG_STATE_HOME", dead.join("state"));
    way.run(state)?.succeeds()?.no_stall();
    disk.wait_for("state")
}

scenario!(a_dead_disk_under_an_output_file(way, lab), which ends);
fn a_dead_disk_under_an_output_file(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new()?;
    let (dead, disk) = dead_disk(lab, &place)?;
    let (timeline, recording) = (dead.join("dead.json"), dead.join("dead.jsonl"));
    let options = ["-o", &timeline.to_string_lossy(), "-o", &recording.to_string_lossy()];
    let ended = way.run_with(place.download(), options)?.succeeds()?;
    disk.wait_for("dead.jsonl")?;
    ended.no_stall().wrote("dead.json was not written").wrote("dead.jsonl");
    Ok(())
}
