//! When it is said that a Go program spins, and when not.

use super::*;
use crate::event::Interrupted;

fn running(id: u64, at: Option<(u64, u64)>) -> Goroutine {
    Goroutine {
        id,
        status: Status::Running,
        wait_reason: None,
        tid: None,
        waits_for: None,
        parent: None,
        created_by: None,
        system: false,
        interrupted: at.map(|(pc, state)| Interrupted { pc, state }),
        functions: vec!["main.wait".into(), "main.main".into()],
        cut: false,
        calls: Vec::new(),
    }
}

fn reading(goroutines: Vec<Goroutine>) -> GoRunning {
    GoRunning { goroutines, living: 3, newest: 20, cpu_ns: 0 }
}

/// The first of these readings begins a spin; none where one after it does not fit.
fn spin(readings: impl IntoIterator<Item = GoRunning>) -> Option<Spin> {
    let mut readings = readings.into_iter();
    let mut spin = Spin::begin(Nanos(0), &readings.next()?)?;
    readings.all(|reading| spin.goes_on(&reading)).then_some(spin)
}

fn of_one(places: &[(u64, u64)]) -> Option<Spin> {
    spin(places.iter().map(|at| reading(vec![running(1, Some(*at))])))
}

#[test]
fn the_same_state_at_a_few_places_again_and_again() {
    let places = [(10, 1), (11, 2), (10, 1), (10, 1), (11, 2), (10, 1)];
    assert!(of_one(&places).unwrap().is_proven());
    assert!(!of_one(&places[..5]).unwrap().is_proven(), "three recurrences are too few");
}

#[test]
fn what_computes_is_found_in_another_state() {
    assert!(of_one(&[(10, 1), (10, 2)]).is_none());
    assert!(of_one(&[(10, 1), (10, 1), (10, 1), (10, 2)]).is_none());
    let everywhere: Vec<(u64, u64)> = (0..40).map(|pc| (pc, 1)).collect();
    assert!(of_one(&everywhere).is_none(), "not a few places");
}

#[test]
fn one_odd_state_among_many_is_no_work() {
    let mut places = vec![(10, 1); 13];
    places.push((10, 2));
    assert!(of_one(&places).unwrap().is_proven());
    places.extend([(10, 3), (10, 4), (10, 5)]);
    assert!(of_one(&places).is_none(), "and three more are");
}

#[test]
fn all_that_run_have_to() {
    let both = |state| reading(vec![running(1, Some((10, 1))), running(2, Some((20, state)))]);
    assert!(spin((0..6).map(|_| both(7))).unwrap().is_proven());
    assert!(spin((0..6).map(both)).is_none(), "one of them works");
    let joined = [reading(vec![running(1, Some((10, 1)))]), both(1)];
    assert!(spin(joined).is_none(), "another one runs too");
    let runnable = Goroutine { status: Status::Runnable, ..running(2, None) };
    let waits = [reading(vec![running(1, Some((10, 1)))]), reading(vec![runnable])];
    assert!(spin(waits).is_none(), "another one could run");
    assert!(spin([reading(vec![running(1, None)])]).is_none(), "nobody knows where");
}

#[test]
fn a_goroutine_that_begins_or_ends_is_work() {
    let one = || reading(vec![running(1, Some((10, 1)))]);
    assert!(spin([one(), GoRunning { living: 4, ..one() }]).is_none());
    assert!(spin([one(), GoRunning { newest: 21, ..one() }]).is_none());
}

#[test]
fn what_is_not_found_for_long_is_no_longer_known() {
    let unknown = |times| {
        let proven = (0..5).map(|_| reading(vec![running(1, Some((10, 1)))]));
        spin(proven.chain((0..times).map(|_| reading(vec![running(1, None)]))))
    };
    assert!(unknown(23).unwrap().is_proven());
    assert!(unknown(24).is_none());
}

#[test]
fn a_benchmark_repeats_itself() {
    let benchmark = || {
        let functions = vec!["x.Benchmark".into(), "testing.(*B).runN".into()];
        reading(vec![Goroutine { functions, ..running(1, Some((10, 1))) }])
    };
    assert!(spin((0..6).map(|_| benchmark())).is_none());
}

#[test]
fn what_an_old_interruption_left_is_no_recurrence() {
    let at = |millis: u64| GoRunning {
        cpu_ns: millis * 1_000_000,
        ..reading(vec![running(1, Some((10, 1)))])
    };
    assert!(spin((1..8).map(|n| at(n * 20))).unwrap().is_proven());
    assert!(!spin((1..8).map(|n| at(100 + n))).unwrap().is_proven(), "it has hardly run");
}
