//! The log of one creation at level info.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::fakes::arm::Kind;
use crate::fakes::arm::faults::FaultKind;
use crate::fakes::log::LogBuffer;
use crate::stack::Stack;
use crate::world::{NAME, request};

/// Held by each test that captures its log: subscribers of several threads hide lines from each other.
pub(crate) static LISTENING: Mutex<()> = Mutex::new(());

/// Lines of the use-cases while `work` runs, at level info and above.
fn logged(work: impl FnOnce()) -> Vec<String> {
    let _listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    // What one subscriber leaves out, others of this process may want: everything is captured and filtered here.
    let text = LogBuffer::during(work);
    let debugging = |line: &str| line.contains(" DEBUG ") || line.contains(" TRACE ");
    text.lines().filter(|line| line.contains("usecase") && !debugging(line)).map(str::to_owned).collect()
}

fn count(lines: &[String], part: &str) -> usize {
    lines.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn a_creation_is_logged_from_the_request_to_ready() {
    let stack = Stack::new();
    let driver = stack.healthy();
    let lines = logged(|| drop(driver.create(NAME).unwrap()));
    assert!(lines.first().unwrap().contains("asking for a file system"), "{lines:#?}");
    let last = lines.last().unwrap();
    assert!(last.contains("the file system is ready") && last.contains("after=\"12m"), "{lines:#?}");
    assert!((10..=13).contains(&count(&lines, "waiting for the file system")), "once a minute: {lines:#?}");
    assert!(lines.iter().all(|line| line.contains(NAME)), "{lines:#?}");
    // A repeated call for a finished volume is no news.
    assert_eq!(count(&logged(|| drop(driver.create(NAME).unwrap())), "asking for"), 0);
}

#[test]
fn a_file_system_that_another_process_requested_is_found() {
    let stack = Stack::new();
    stack.healthy().create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
    let lines = logged(|| drop(stack.healthy().create(NAME).unwrap()));
    assert!(lines[0].contains("found the file system of this volume") && lines[0].contains("Creating"), "{lines:#?}");
    assert_eq!(count(&lines, "asking for a file system"), 0, "{lines:#?}");
    assert!(lines.last().unwrap().contains("the file system is ready"), "{lines:#?}");
}

#[test]
fn a_creation_of_unknown_outcome_is_logged_with_its_reason() {
    let stack = Stack::new();
    let driver = stack.failing(Kind::Put, FaultKind::Busy);
    let lines = logged(|| drop(driver.create(NAME)));
    assert!(count(&lines, "the outcome of a creation is unknown") > 0, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("AnotherOperationInProgress")), "{lines:#?}");
}
