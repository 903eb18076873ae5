//! gmtrace never hangs with what it watches: a disk that does not answer, under each place that it might touch.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use gmtrace_tests::disk::DeadDisk;
use gmtrace_tests::lab::{self, Lab};
use gmtrace_tests::zoo;

use crate::system::Place;

/// A dead disk at a directory beside the project.
fn dead_disk(lab: &Lab, place: &Place) -> Result<(PathBuf, DeadDisk)> {
    let directory = place.project.room().join("dead");
    fs::create_dir(&directory)?;
    Ok((directory.clone(), DeadDisk::mount(lab, &directory)?))
}

#[test]
fn under_the_module_cache() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new()?;
        let (dead, disk) = dead_disk(lab, &place)?;
        let hang = zoo::watch(place.download().env("GOMODCACHE", dead.join("mod")))?;
        disk.wait_for("mod")?;
        let answer = hang.stalls()?;
        answer
            .expect("fs-blocked")
            .state("stalled")
            .path(dead.join("mod"))
            .says(&format!("{} (fuse)", dead.display()));
        disk.abort()?;
        hang.fails()?;
        Ok(())
    })
}

#[test]
fn under_the_working_directory() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new()?;
        let (dead, disk) = dead_disk(lab, &place)?;
        let hang = zoo::watch(place.download().directory(&dead))?;
        disk.wait_for("go.work")?;
        let answer = hang.stalls()?;
        answer
            .expect("fs-blocked")
            .state("stalled")
            .path(&dead)
            .says(&format!("{} (fuse)", dead.display()));
        disk.abort()?;
        hang.fails()?;
        Ok(())
    })
}

#[test]
fn under_the_state_directory() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new()?;
        let (dead, disk) = dead_disk(lab, &place)?;
        let state =
            place.download().env("GMTRACE_STATE", "on").env("XDG_STATE_HOME", dead.join("state"));
        zoo::watch(state)?.succeeds()?.no_stall();
        disk.wait_for("state")
    })
}

#[test]
fn under_the_directory_of_an_output_file() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new()?;
        let (dead, disk) = dead_disk(lab, &place)?;
        let (timeline, recording) = (dead.join("dead.json"), dead.join("dead.jsonl"));
        let options = ["-o", &timeline.to_string_lossy(), "-o", &recording.to_string_lossy()];
        let answer = zoo::watch_with(place.download(), options)?.succeeds()?;
        disk.wait_for("dead.jsonl")?;
        assert!(answer.stderr.contains("dead.json was not written"), "{answer}");
        assert!(answer.stderr.contains("dead.jsonl"), "{answer}");
        Ok(())
    })
}
