//! Disks and locks. Texts of go 1.21.13, 1.24.11 and 1.27.3.

use super::{ROOT, Run, codes, commands};
use crate::event::*;
use crate::report::{Confidence, FindingState};
use crate::units::{Fd, Pid, Tid};

fn filesystem(purpose: &str, mount: &str, kind: &str, free_bytes: u64) -> Filesystem {
    Filesystem {
        purpose: purpose.into(),
        path: format!("{mount}/x"),
        mount: Some(mount.into()),
        kind: Some(kind.into()),
        answered: true,
        free_bytes: Some(free_bytes),
        free_files: Some(1000),
    }
}

fn disks(filesystems: Vec<Filesystem>) -> Snapshot {
    Snapshot { filesystems, ..Snapshot::default() }
}

#[test]
fn a_full_disk_is_named_by_its_mount() {
    for said in [
        "go: example.com/lib@v1.4.2: read \"http:/127.0.0.1:18931/big/@v/v1.4.2.zip\": write /mnt/small/cache/download/example.com/lib/@v/v1.4.2.zip847234719.tmp: no space left on device\n",
        "go: writing go.mod cache: open /mnt/small/cache/download/example.com/lib/@v/v1.4.2.mod579094570.tmp: no space left on device\n",
        "go: open /mnt/small/cache/download/example.com/lib/@v/v1.4.2.lock: disk quota exceeded\n",
    ] {
        let snapshot = disks(vec![
            filesystem("working directory", "/", "ext4", 1 << 30),
            filesystem("module cache", "/mnt/small", "tmpfs", 0),
        ]);
        let found = Run::of("go mod download").says(said).snapshot(snapshot).ends(1);
        assert_eq!(codes(&found), ["disk-full"], "{said}");
        assert!(found[0].summary.ends_with("/mnt/small (tmpfs)."), "{}", found[0].summary);
        assert_eq!(found[0].confidence, Confidence::Certain);
    }
}

#[test]
fn a_module_that_go_may_not_unpack_again_is_named_by_its_note() {
    let note = "/c/cache/download/example.com/lib/@v/v1.4.2.partial";
    let noted = |partial: &[&str]| Snapshot {
        partial: partial.iter().map(|note| (*note).to_owned()).collect(),
        ..Snapshot::default()
    };
    let run = |said: &str, snapshot| {
        let run = Run::of("go mod download").default("GOMODCACHE", "/c").says(said);
        run.snapshot(snapshot).ends(1)
    };
    for said in [
        "go: open /c/cache/download/example.com/lib/@v/v1.4.2.lock: read-only file system\n",
        "p.go:2:8: open /c/cache/download/example.com/lib/@v/v1.4.2.lock: permission denied\n",
        "go: unlinkat /c/example.com/lib@v1.4.2/a.go: operation not permitted\n",
    ] {
        let found = run(said, noted(&[note]));
        assert_eq!(codes(&found), ["cache-corrupt"], "{said}");
        assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
        assert_eq!(found[0].blocked.path.as_deref(), Some(note));
        let might_be_unpacked_now = found[0].confidence == Confidence::Likely;
        assert_eq!(might_be_unpacked_now, said.contains(".lock"), "{said}");
        // Without its note it is only missing.
        assert_eq!(codes(&run(said, noted(&[]))), ["unknown"], "{said}");
    }
    let other = "go: open /c/cache/lock: read-only file system\n";
    assert_eq!(codes(&run(other, noted(&[note]))), ["unknown"]);
}

#[test]
fn git_speaks_of_a_full_disk_with_a_capital() {
    let found = Run::of("go mod download")
        .starts(101, ROOT, "git fetch")
        .process_says(101, "fatal: write error: No space left on device\n")
        .exits(101, 128)
        .says("go: example.com/m@v1.0.0: git fetch -f origin in /c/cache/vcs/dae2: exit status 128:\n\tfatal: write error: No space left on device\n")
        .ends(1);
    assert_eq!(codes(&found), ["disk-full", "child-failed"]);
}

#[test]
fn a_full_disk_without_a_word_about_it_is_no_verdict() {
    let snapshot = || disks(vec![filesystem("module cache", "/mnt/small", "tmpfs", 4096)]);
    let found = Run::of("go mod download").snapshot(snapshot()).stands_still();
    assert_eq!(codes(&found), ["unknown", "disk-full"]);
    assert_eq!(found[1].state, FindingState::Notice);
    let found = Run::of("go mod download")
        .says("go: modules disabled by GO111MODULE=off; see 'go help modules'\n")
        .snapshot(snapshot())
        .ends(1);
    assert_eq!(codes(&found), ["modules-off", "disk-full"]);
    let room = disks(vec![filesystem("module cache", "/mnt/small", "tmpfs", 1 << 30)]);
    assert_eq!(codes(&Run::of("go mod download").snapshot(room).ends(1)), ["unknown"]);
}

#[test]
fn a_filesystem_that_refuses_locks_is_named() {
    for (said, path) in [
        ("go: RLock go.mod: no locks available\n", "go.mod"),
        ("go: RLock /mnt/nfs/app/go.mod: no locks available\n", "/mnt/nfs/app/go.mod"),
        ("go: RLock /mnt/nfs/app/go.mod: function not implemented\n", "/mnt/nfs/app/go.mod"),
        ("go: Lock /mnt/nfs/app/v1.lock: operation not supported\n", "/mnt/nfs/app/v1.lock"),
    ] {
        let snapshot = disks(vec![filesystem("working directory", "/mnt/nfs", "nfs4", 1 << 30)]);
        let found = Run::of("go mod download").says(said).snapshot(snapshot).ends(1);
        assert_eq!(codes(&found), ["lock-unsupported"], "{said}");
        assert_eq!(found[0].blocked.path.as_deref(), Some(path));
        if path.starts_with('/') {
            assert!(found[0].summary.starts_with("/mnt/nfs (nfs4)"), "{}", found[0].summary);
        }
    }
}

fn asks(run: Run, path: &str) -> Run {
    run.event(
        ROOT,
        What::LockRequest {
            fd: Fd(5),
            path: path.into(),
            kind: LockKind::Flock,
            mode: LockMode::Exclusive,
        },
    )
}

#[test]
fn a_refused_lock_is_seen_by_its_error_and_the_way_out_fits_its_place() {
    let run = Run::of("go mod download").env("GOMODCACHE", "/mnt/nfs/mod");
    let path = "/mnt/nfs/mod/cache/download/example.com/lib/@v/v1.4.2.lock";
    let end = What::LockEnd {
        fd: Fd(5),
        path: path.into(),
        result: Some("ENOLCK".into()),
        known_by: KnownBy::Return,
    };
    let found = asks(run, path).event(ROOT, end).ends(1);
    assert_eq!(codes(&found), ["lock-unsupported"]);
    assert_eq!(found[0].blocked.tid, Some(Tid(ROOT)));
    assert_eq!(commands(&found[0]), ["GOMODCACHE=/var/tmp/gomodcache go mod download"]);
}

#[test]
fn a_lock_that_was_interrupted_is_not_unsupported() {
    let path = "/c/cache/lock";
    let end = What::LockEnd {
        fd: Fd(5),
        path: path.into(),
        result: Some("EINTR".into()),
        known_by: KnownBy::Return,
    };
    assert_eq!(
        codes(&asks(Run::of("go mod download"), path).event(ROOT, end).ends(1)),
        ["unknown"]
    );
}

fn sits_in_flock() -> ProcessState {
    let syscall = Syscall { nr: 73, name: "flock".into(), args: [5, 2, 0, 0, 0, 0] };
    ProcessState {
        pid: Pid(ROOT),
        ppid: Pid(1),
        in_tree: true,
        role: ProcessRole::Go,
        state: 'S',
        threads: vec![ThreadState {
            tid: Tid(ROOT),
            state: 'S',
            syscall: Some(syscall),
            cpu_ns: None,
            wchan: None,
        }],
        ..ProcessState::default()
    }
}

fn kernel_lock(waiting: bool, pid: i32) -> KernelLock {
    KernelLock {
        id: 1,
        waiting,
        kind: LockKind::Flock,
        mode: LockMode::Exclusive,
        pid: Pid(pid),
        file: "fe:00:42".into(),
    }
}

const LOCK: &str = "/c/cache/download/example.com/lib/@v/v1.4.2.lock";

#[test]
fn a_lock_held_by_nobody_in_sight_says_why_that_may_be() {
    for (holder, why) in [(0, "another container"), (4711, "process 4711 took it")] {
        let snapshot = Snapshot {
            processes: vec![sits_in_flock()],
            locks: vec![kernel_lock(false, holder), kernel_lock(true, ROOT)],
            ..Snapshot::default()
        };
        let found = asks(Run::of("go mod download"), LOCK).snapshot(snapshot).stands_still();
        assert_eq!(codes(&found), ["lock-orphaned"]);
        assert_eq!(found[0].confidence, Confidence::Likely);
        assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
        let unseen = found[0].facts.iter().find(|f| f.label == "unseen").unwrap();
        assert!(unseen.lines[0].contains(why), "{:?}", unseen.lines);
    }
}

/// What is found where a thread in this state has asked for a lock: seen to, or in a process of which no event is seen.
fn with_a_thread(state: char, seen: bool) -> Vec<String> {
    let mut process = sits_in_flock();
    process.state = state;
    process.threads[0].state = state;
    process.in_tree = seen;
    process.descriptors = vec![Descriptor {
        fd: Fd(5),
        target: DescriptorTarget::File(LOCK.into()),
        locks: vec![],
        pos: None,
        access: None,
        close_on_exec: false,
    }];
    let snapshot = Snapshot { processes: vec![process], ..Snapshot::default() };
    let run = Run::of("go mod download");
    let run = if seen { asks(run, LOCK) } else { run };
    let found = run.snapshot(snapshot).stands_still();
    codes(&found).into_iter().map(str::to_owned).collect()
}

/// On its way into the call or out of it: it waits for a CPU, or for the tracer that stopped it.
#[test]
fn a_thread_that_does_not_sleep_waits_for_no_lock() {
    for seen in [true, false] {
        assert_eq!(with_a_thread('S', seen), ["lock-orphaned"], "{seen}");
        for state in ['R', 't', 'Z'] {
            let found = with_a_thread(state, seen);
            assert!(!found.contains(&"lock-orphaned".to_owned()), "{state} {seen}: {found:?}");
        }
    }
}

#[test]
fn a_lock_on_a_shared_filesystem_may_be_held_by_another_machine() {
    let snapshot = Snapshot {
        processes: vec![sits_in_flock()],
        filesystems: vec![filesystem("module cache", "/c", "nfs4", 1 << 30)],
        ..Snapshot::default()
    };
    let found = asks(Run::of("go mod download"), LOCK).snapshot(snapshot).stands_still();
    assert_eq!(codes(&found), ["lock-orphaned"]);
    let unseen = found[0].facts.iter().find(|f| f.label == "unseen").unwrap();
    assert!(unseen.lines[0].starts_with("another machine"));
}

#[test]
fn a_lock_with_a_living_holder_is_no_orphan() {
    let held = HeldLock {
        kind: LockKind::Flock,
        mode: LockMode::Exclusive,
        pid: Pid(200),
        file: "fe:00:42".into(),
    };
    let holder = ProcessState {
        pid: Pid(200),
        state: 'S',
        descriptors: vec![Descriptor {
            fd: Fd(3),
            target: DescriptorTarget::File(LOCK.into()),
            locks: vec![held],
            pos: None,
            access: None,
            close_on_exec: false,
        }],
        ..ProcessState::default()
    };
    let snapshot = Snapshot {
        processes: vec![sits_in_flock(), holder],
        locks: vec![kernel_lock(false, 200), kernel_lock(true, ROOT)],
        ..Snapshot::default()
    };
    let found = asks(Run::of("go mod download"), LOCK).snapshot(snapshot).stands_still();
    assert_eq!(codes(&found), ["lock-held"]);
}

#[test]
fn a_lock_that_was_obtained_while_the_snapshot_was_read_is_no_orphan() {
    let held = HeldLock {
        kind: LockKind::Flock,
        mode: LockMode::Exclusive,
        pid: Pid(ROOT),
        file: "fe:00:42".into(),
    };
    let own = Descriptor {
        fd: Fd(5),
        target: DescriptorTarget::File(LOCK.into()),
        locks: vec![held],
        pos: None,
        access: None,
        close_on_exec: false,
    };
    let process = ProcessState { descriptors: vec![own], ..sits_in_flock() };
    let snapshot = Snapshot { processes: vec![process], ..Snapshot::default() };
    let found = asks(Run::of("go mod download"), LOCK).snapshot(snapshot).stands_still();
    assert_eq!(codes(&found), ["unknown"]);
}
