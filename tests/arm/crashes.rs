//! The process killed at any request, before the server acted on it or after, and started again.

use std::time::Duration;

use crate::fakes::arm::Kind;
use crate::fakes::arm::faults::{FaultKind, HttpFault};
use crate::stack::Stack;
use crate::world::{Driver, NAME, mortal};

fn kill(after: bool) -> HttpFault {
    HttpFault { fault_kind: FaultKind::Kill, after }
}

/// Repeats with a new process after each death, as Kubernetes does.
fn survives<T>(first: Driver, stack: &Stack, call: impl Fn(&Driver) -> Option<T>) -> (T, bool) {
    let mut driver = first;
    let mut died = false;
    for _ in 0..50 {
        match mortal(|| call(&driver)) {
            Ok(Some(done)) => return (done, died),
            Ok(None) => stack.azure.pass(Duration::from_secs(30)),
            Err(_) => {
                died = true;
                driver = stack.healthy();
            }
        }
    }
    panic!("never done")
}

#[test]
fn a_creation_killed_at_any_request_makes_one_file_system() {
    let undisturbed = Stack::new();
    undisturbed.healthy().create(NAME).unwrap();
    for after in [false, true] {
        for first in 1..=undisturbed.kinds().len() {
            let stack = Stack::new();
            let (volume, died) =
                survives(stack.faulty(kill(after), first, 1), &stack, |driver| driver.create(NAME).ok());
            assert!(died, "request {first} never came");
            assert_eq!((stack.azure.made(NAME), stack.azure.billed()), (1, vec![NAME.to_owned()]), "request {first}");
            let sent_before = stack.puts();
            assert!(sent_before <= 2, "{sent_before} PUTs after a death at request {first}");
            stack.healthy().delete(&volume.id.to_string()).unwrap();
            assert_eq!(stack.azure.billed(), Vec::<String>::new(), "request {first}");
        }
    }
}

/// A PUT that reached ARM is seen by the next process, which sends none.
#[test]
fn a_put_that_arm_accepted_is_not_sent_again() {
    let stack = Stack::new();
    let plan = |_: usize, kind: Kind| (kind == Kind::Put).then(|| kill(true));
    let (_, died) = survives(stack.process(Box::new(plan)).driver, &stack, |driver| driver.create(NAME).ok());
    assert!(died);
    assert_eq!((stack.puts(), stack.azure.made(NAME)), (1, 1));
}

#[test]
fn a_deletion_killed_at_any_request_ends_with_nothing() {
    for after in [false, true] {
        for first in 1..=3 {
            let stack = Stack::new();
            let volume = stack.healthy().create(NAME).unwrap().id.to_string();
            let ((), died) =
                survives(stack.faulty(kill(after), first, 1), &stack, |driver| driver.delete(&volume).ok());
            assert!(died, "request {first} never came");
            assert_eq!(stack.azure.billed(), Vec::<String>::new(), "request {first}");
        }
    }
}
