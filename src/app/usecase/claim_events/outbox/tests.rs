//! When events are written, case by case.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn event(volume: &str, kind: EventKind, message: &str) -> ClaimEvent {
    ClaimEvent {
        kind,
        volume_name: volume.to_owned(),
        namespace: "team".to_owned(),
        claim: "claim".to_owned(),
        reason: "Reason",
        message: message.to_owned(),
        age: Duration::ZERO,
    }
}

fn normal(volume: &str, message: &str) -> ClaimEvent {
    event(volume, EventKind::Normal, message)
}

/// Writes what is due now with this outcome, and lists the messages.
fn write(outbox: &mut Outbox, outcome: WriteOutcome, now: Duration) -> Vec<String> {
    let due = std::iter::from_fn(|| match outbox.next(now) {
        NextWrite::Write(event) => {
            outbox.complete(event.clone(), outcome, now);
            Some(event.message)
        }
        NextWrite::Wait(_) | NextWrite::Idle => None,
    });
    due.collect()
}

#[test]
fn the_first_event_is_written_at_once_and_then_one_a_minute_the_newest() {
    let mut outbox = Outbox::default();
    let mut written = Vec::new();
    for second in 0..=600 {
        let now = SECOND * second;
        if second % 7 == 0 {
            outbox.put(normal("pvc-1", &second.to_string()), now);
        }
        written.extend(write(&mut outbox, WriteOutcome::Written, now).into_iter().map(|message| (second, message)));
    }
    let seconds: Vec<u32> = written.iter().map(|(second, _)| *second).collect();
    assert_eq!(seconds, [0, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600]);
    assert!(written.iter().all(|(second, message)| *message == (second / 7 * 7).to_string()), "{written:?}");
}

#[test]
fn claims_and_kinds_do_not_wait_for_each_other() {
    let mut outbox = Outbox::default();
    outbox.put(normal("pvc-1", "a"), SECOND);
    assert_eq!(write(&mut outbox, WriteOutcome::Written, SECOND), ["a"]);
    outbox.put(normal("pvc-1", "later"), SECOND);
    outbox.put(event("pvc-1", EventKind::Warning, "b"), SECOND);
    outbox.put(normal("pvc-2", "c"), SECOND);
    assert_eq!(write(&mut outbox, WriteOutcome::Written, SECOND).len(), 2);
    assert_eq!(outbox.next(SECOND), NextWrite::Wait(INTERVAL));
}

#[test]
fn the_last_event_is_written_although_nothing_follows_it() {
    let mut outbox = Outbox::default();
    for message in ["requested", "creating", "ready"] {
        outbox.put(normal("pvc-1", message), SECOND);
        write(&mut outbox, WriteOutcome::Written, SECOND);
    }
    let due = SECOND + INTERVAL;
    let NextWrite::Write(event) = outbox.next(due) else { panic!("nothing is due") };
    assert_eq!((event.message.as_str(), event.age), ("ready", INTERVAL));
    outbox.complete(event, WriteOutcome::Written, due);
    assert_eq!(outbox.next(due), NextWrite::Idle);
}

#[test]
fn an_hour_without_an_answer_costs_a_write_a_minute_and_ends_with_the_newest_event() {
    let mut outbox = Outbox::default();
    let mut tries = 0;
    for second in 0..3600 {
        for volume in ["pvc-1", "pvc-2", "pvc-3"] {
            outbox.put(normal(volume, &format!("{volume} {second}")), SECOND * second);
        }
        tries += write(&mut outbox, WriteOutcome::TryAgain, SECOND * second).len();
    }
    assert!((60..70).contains(&tries), "{tries}");
    let after = SECOND * 3660;
    let mut written = write(&mut outbox, WriteOutcome::Written, after);
    written.sort();
    assert_eq!(written, ["pvc-1 3599", "pvc-2 3599", "pvc-3 3599"]);
}

#[test]
fn an_event_emitted_during_a_failing_write_replaces_the_one_being_written() {
    let mut outbox = Outbox::default();
    outbox.put(normal("pvc-1", "old"), SECOND);
    let NextWrite::Write(old) = outbox.next(SECOND) else { panic!("nothing is due") };
    outbox.put(normal("pvc-1", "new"), SECOND);
    assert_eq!(outbox.next(SECOND), NextWrite::Idle, "one write at a time for a claim");
    outbox.complete(old, WriteOutcome::TryAgain, SECOND);
    assert_eq!(write(&mut outbox, WriteOutcome::Written, SECOND * 70), ["new"]);
}

#[test]
fn a_refused_event_is_not_repeated() {
    let mut outbox = Outbox::default();
    outbox.put(normal("pvc-1", "a"), SECOND);
    assert_eq!(write(&mut outbox, WriteOutcome::Dropped, SECOND), ["a"]);
    assert_eq!(outbox.next(SECOND), NextWrite::Idle);
}

#[test]
fn what_is_remembered_is_bounded_and_quiet_claims_go_first() {
    let mut outbox = Outbox::default();
    outbox.put(normal("quiet", "x"), Duration::ZERO);
    write(&mut outbox, WriteOutcome::Written, Duration::ZERO);
    let now = SECOND * 600;
    for number in 0..CAPACITY {
        outbox.put(normal(&format!("pvc-{number}"), "x"), now);
    }
    assert_eq!(outbox.slots.len(), CAPACITY);
    assert_eq!(write(&mut outbox, WriteOutcome::Written, now).len(), CAPACITY, "no waiting event was lost");
    outbox.put(normal("one more", "x"), now);
    assert_eq!(outbox.slots.len(), CAPACITY);
}
