//! The rules of finality and of repeated requests, on a clock that is only a number.

use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Observations at these seconds that found nothing.
fn absent_at(history: &mut History, times: &[u64]) {
    for time in times {
        history.absent(secs(*time));
    }
}

#[test]
fn content_is_final_after_five_seconds_and_circumstances_after_ninety() {
    for (times, content, circumstance) in [
        (&[0][..], false, false),
        (&[0, 4], false, false),
        (&[0, 5], true, false),
        (&[0, 89], true, false),
        (&[0, 45, 90], true, true),
    ] {
        let mut history = History::default();
        absent_at(&mut history, times);
        let found = (history.is_final(FailureCause::Request), history.is_final(FailureCause::Circumstance));
        assert_eq!(found, (content, circumstance), "{times:?}");
    }
}

#[test]
fn one_observation_that_finds_anything_restarts_the_time_of_absence() {
    let mut history = History::default();
    absent_at(&mut history, &[0, 80]);
    history.present_not_owned();
    absent_at(&mut history, &[90, 170]);
    assert!(!history.is_final(FailureCause::Circumstance));
    history.absent(secs(180));
    assert!(history.is_final(FailureCause::Circumstance));
}

#[test]
fn a_file_system_seen_and_then_absent_is_never_gone() {
    let mut history = History::default();
    assert!(history.present(&ProvisioningState::Creating, secs(0)));
    absent_at(&mut history, &[10, 5000]);
    assert!(history.create_outcome_unknown() && history.is_unfinished());
    assert!(!history.is_final(FailureCause::Request) && !history.is_final(FailureCause::Circumstance));
    history.present(&ProvisioningState::Deleting, secs(5010));
    absent_at(&mut history, &[5020, 5110]);
    assert!(!history.is_unfinished() && history.is_final(FailureCause::Circumstance));
}

#[test]
fn an_accepted_creation_counts_as_seen() {
    let mut history = History::default();
    history.absent(secs(0));
    history.create_sent(secs(0), false);
    history.create_accepted();
    absent_at(&mut history, &[2, 200]);
    assert!(!history.is_final(FailureCause::Circumstance) && history.create_outcome_unknown());
}

#[test]
fn a_put_without_an_answer_restarts_the_time_of_absence_and_a_refused_one_does_not() {
    let mut history = History::default();
    absent_at(&mut history, &[0, 85]);
    let before = history.clone();
    history.create_sent(secs(85), false);
    let mut refused = history.clone();
    refused.create_refused(&before);
    absent_at(&mut refused, &[90]);
    assert!(refused.is_final(FailureCause::Circumstance) && !refused.is_unfinished());
    absent_at(&mut history, &[87, 170]);
    assert!(!history.is_final(FailureCause::Request));
    history.absent(secs(177));
    assert!(history.is_final(FailureCause::Circumstance), "ninety seconds after the PUT it cannot arrive any more");
}

/// Times at which PUTs are sent if calls follow each other without a pause for a quarter of an hour, and no PUT has a clear
/// answer. `lasting` calls send one.
fn puts_of_a_quarter(lasting: bool) -> Vec<u64> {
    let (mut history, mut sent) = (History::default(), Vec::new());
    let mut now = secs(0);
    while now < secs(15 * 60) {
        let mut call = history.creates().of_call();
        loop {
            history.absent(now);
            match history.next_create(call, now) {
                RequestDecision::Now => {
                    history.create_sent(now, call.sent > 0);
                    call.count();
                    sent.push(now.as_secs());
                    if lasting {
                        call.left = 0;
                    }
                    now += secs(2);
                }
                RequestDecision::ObserveAfter(rest) => now += rest,
                RequestDecision::NotBefore(_) | RequestDecision::FailedNotBefore(_) => break,
            }
        }
        now += secs(1);
    }
    sent
}

#[test]
fn at_most_six_puts_are_sent_in_a_quarter_of_an_hour() {
    let ambiguous = puts_of_a_quarter(false);
    assert_eq!(ambiguous[..2], [0, 7], "two in the first call");
    assert!(ambiguous.len() <= 6 && ambiguous.len() >= 4, "{ambiguous:?}");
    let pauses: Vec<u64> = ambiguous[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted() && (60..70).contains(&pauses[0]), "{ambiguous:?}");
    let lasting = puts_of_a_quarter(true);
    assert!(lasting.len() <= 6 && lasting[1] >= 60, "{lasting:?}");
}

#[test]
fn other_parameters_end_the_pause() {
    let mut history = History::default();
    history.absent(secs(0));
    let before = history.clone();
    history.create_sent(secs(0), false);
    history.create_refused(&before);
    assert_eq!(history.next_create(history.creates().of_call(), secs(1)), RequestDecision::NotBefore(secs(60)));
    history.other_parameters();
    assert_eq!(history.next_create(history.creates().of_call(), secs(1)), RequestDecision::Now);
}

#[test]
fn deletions_have_the_same_limits() {
    let mut history = History::default();
    history.present(&ProvisioningState::Succeeded, secs(0));
    let mut call = history.deletes().of_call();
    assert_eq!(history.next_delete(call, secs(0)), RequestDecision::Now);
    for (now, expected) in [(0, RequestDecision::ObserveAfter(secs(5))), (5, RequestDecision::Now)] {
        if now == 0 {
            history.delete_sent(secs(0), false);
            call.count();
        }
        assert_eq!(history.next_delete(call, secs(now)), expected);
    }
    history.delete_sent(secs(5), true);
    call.count();
    assert_eq!(history.next_delete(call, secs(10)), RequestDecision::NotBefore(secs(65)));
    let later = history.deletes().of_call();
    assert_eq!(later.left, 1);
    assert_eq!(history.next_delete(later, secs(64)), RequestDecision::NotBefore(secs(65)));
    assert_eq!(history.next_delete(later, secs(65)), RequestDecision::Now);
}

#[test]
fn a_deletion_is_done_after_two_observations_or_one_after_deleting() {
    let mut history = History::default();
    history.absent(secs(0));
    assert!(!history.is_gone());
    history.absent(secs(5));
    assert!(history.is_gone());
    let mut seen = History::default();
    seen.present(&ProvisioningState::Deleting, secs(0));
    seen.absent(secs(1));
    assert!(seen.is_gone());
    let mut travelling = History::default();
    travelling.create_sent(secs(0), false);
    absent_at(&mut travelling, &[1, 60]);
    assert!(!travelling.is_gone(), "a PUT of this process may still arrive");
    travelling.absent(secs(91));
    assert!(travelling.is_gone());
}

#[test]
fn the_pause_doubles_with_each_failed_creation() {
    let (mut history, mut now, mut pauses) = (History::default(), secs(0), Vec::new());
    for _ in 0..4 {
        history.create_sent(now, false);
        history.create_accepted();
        history.present(&ProvisioningState::Failed, now);
        assert!(history.creation_failed(Some("CreateTimeout: slow")));
        assert!(!history.creation_failed(None), "reported once");
        history.delete_sent(now, false);
        history.present(&ProvisioningState::Deleting, now);
        history.absent(now);
        let RequestDecision::FailedNotBefore(not_before) = history.next_create(history.creates().of_call(), now) else {
            panic!("made anew at once")
        };
        assert_eq!(history.failed().and_then(|failed| failed.reason.as_deref()), Some("CreateTimeout: slow"));
        pauses.push(not_before.saturating_sub(now).as_secs() / 60);
        now = not_before;
        assert_eq!(history.next_create(history.creates().of_call(), now), RequestDecision::Now);
    }
    assert_eq!(pauses, [3, 6, 10, 10]);
}

#[test]
fn a_failed_creation_whose_deletion_was_not_seen_is_gone_after_two_observations() {
    let mut history = History::default();
    history.present(&ProvisioningState::Failed, secs(0));
    history.creation_failed(None);
    history.delete_sent(secs(0), false);
    history.absent(secs(2));
    assert_eq!(history.next_create(history.creates().of_call(), secs(2)), RequestDecision::ObserveAfter(secs(5)));
    history.absent(secs(7));
    assert!(history.is_gone_after_deletion());
}
