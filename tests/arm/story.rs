//! The log of one creation, without debugging, reads as a story.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;

use crate::fakes::arm::Kind;
use crate::fakes::arm::faults::Trouble;
use crate::stack::Stack;
use crate::world::{NAME, request};

/// Held by whoever listens to the log: subscribers that come and go at the same time hide lines from each other.
pub(crate) static LISTENING: Mutex<()> = Mutex::new(());

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines of the use-cases while `work` runs, at level info and above.
fn logged(work: impl FnOnce()) -> Vec<String> {
    let _listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        // All of it is taken and the rest left out below: what one subscriber does not want, others of this process may.
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let debugging = |line: &str| line.contains(" DEBUG ") || line.contains(" TRACE ");
    text.lines().filter(|line| line.contains("usecase") && !debugging(line)).map(str::to_owned).collect()
}

fn count(lines: &[String], part: &str) -> usize {
    lines.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn a_creation_is_asked_for_waited_for_and_ready() {
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
fn a_file_system_that_another_process_asked_for_is_found() {
    let stack = Stack::new();
    stack.healthy().create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
    let lines = logged(|| drop(stack.healthy().create(NAME).unwrap()));
    assert!(lines[0].contains("found the file system of this volume") && lines[0].contains("Creating"), "{lines:#?}");
    assert_eq!(count(&lines, "asking for a file system"), 0, "{lines:#?}");
    assert!(lines.last().unwrap().contains("the file system is ready"), "{lines:#?}");
}

#[test]
fn a_creation_without_a_clear_answer_says_why() {
    let stack = Stack::new();
    let driver = stack.troubled(Kind::Put, Trouble::Busy);
    let lines = logged(|| drop(driver.create(NAME)));
    assert!(count(&lines, "the outcome of a creation is unknown") > 0, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("AnotherOperationInProgress")), "{lines:#?}");
}
