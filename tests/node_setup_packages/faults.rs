//! Fault injection: a program that fails at any step, and a process that dies there; the next run ends ready.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use azurelustre_csi::adapters::node_setup::tools::{Output, ToolError};

use crate::node::Node;
use crate::repository::Repository;
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    after_a_fault_at_any_step_the_next_run_ends_ready,
    after_a_death_at_any_step_the_next_run_ends_ready,
    a_program_that_times_out_is_retried_and_a_missing_one_is_named,
];

/// Runs with `fault` at the first program, the second, and so on, each followed by a run without. Returns how many programs
/// there are.
fn at_every_step(fault: fn() -> Option<Result<Output, ToolError>>) -> usize {
    let repository = Repository::new();
    for step in 0.. {
        let node = Node::new();
        let count = AtomicUsize::new(0);
        node.stub(move |_| if count.fetch_add(1, Ordering::Relaxed) == step { fault() } else { None });
        let result = catch_unwind(AssertUnwindSafe(|| node.ensure(&repository.server.url())));
        if matches!(result, Ok(Ok(()))) {
            node.assert_ready();
            return step;
        }
        assert!(!node.is_complete(), "step {step}");
        node.stub(|_| None);
        node.ensure(&repository.server.url()).unwrap();
        node.assert_ready();
    }
    unreachable!()
}

fn after_a_fault_at_any_step_the_next_run_ends_ready() {
    let failed = || Some(Ok(Output { code: 1, stdout: Vec::new(), stderr: "E: something new".to_owned() }));
    assert!(at_every_step(failed) >= 9);
}

fn after_a_death_at_any_step_the_next_run_ends_ready() {
    // The payload of a death is no string, so that no message is printed for it.
    assert!(at_every_step(|| std::panic::resume_unwind(Box::new(()))) >= 9);
}

fn a_program_that_times_out_is_retried_and_a_missing_one_is_named() {
    let (node, repository) = (Node::new(), Repository::new());
    let hung = AtomicUsize::new(0);
    node.stub(move |run| {
        let first = run.program == "apt-get" && hung.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Err(ToolError::TimedOut { program: "apt-get", limit: Duration::from_secs(1) }))
    });
    node.ensure(&repository.server.url()).unwrap();
    node.assert_ready();
    assert_eq!(node.attempts(), 2);
    for program in ["apt-get", "dpkg-deb", "modinfo", "depmod"] {
        let node = Node::new();
        node.stub(move |run| (run.program == program).then_some(Err(ToolError::Missing { program })));
        let error = node.ensure(&repository.server.url()).unwrap_err();
        assert_eq!((error.exit.code(), error.transient), (3, false), "{error}");
        assert!(error.why.contains(program) && error.hint.contains(program), "{error}");
        node.assert_nothing_unpacked();
    }
}
