//! A fault or a death at every step of every way to a ready node: the next run ends ready.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::node::{FakeNode, Fault, KERNEL, Killed, NEW, OLD, both_interfaces};

/// Brings a node into a state.
type Preparation = fn(&FakeNode);

/// States from which a run makes the node ready.
const STATES: [(&str, Preparation); 6] = [
    ("nothing", |_| {}),
    ("unpacked", |node| node.unpack(KERNEL, NEW)),
    ("another version, idle", |node| {
        node.load_client(OLD);
        node.unpack(KERNEL, OLD);
    }),
    ("another version of the host, idle", |node| {
        node.load_client(OLD);
        node.install_on_host();
    }),
    ("another version, mounted", |node| {
        node.load_client(OLD);
        node.mount();
    }),
    ("a failed start", |node| {
        node.load_modules(&["libcfs", "lnet", "ksocklnd", "obdclass"], NEW);
        node.write("sys/module/lnet/parameters/networks", "tcp(eth9)");
    }),
];

/// One run on a node, `None` if the process died in it.
fn run(node: &FakeNode) -> Option<bool> {
    match catch_unwind(AssertUnwindSafe(|| node.run(|settings| settings.interfaces = both_interfaces()).is_ok())) {
        Ok(ready) => Some(ready),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

#[test]
fn after_a_fault_or_a_death_at_any_step_the_next_run_ends_ready() {
    // A death is a panic here, which need not be printed.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Killed>() {
            print(info);
        }
    }));
    let mut tried = 0;
    for (state, prepare) in STATES {
        for fault in [Fault::Error, Fault::Kill] {
            for at in 0.. {
                let node = FakeNode::new();
                prepare(&node);
                node.set_fault(Some((at, fault)));
                let first = run(&node);
                if node.take_log().len() <= at {
                    assert_eq!(first, Some(true), "{state}: without a fault");
                    break;
                }
                tried += 1;
                node.set_fault(None);
                assert_eq!(run(&node), Some(true), "{state}: after {fault:?} at step {at}");
                let mounted = state.ends_with("mounted");
                let client = node.client().unwrap();
                assert!(client == NEW || mounted && client == OLD, "{state}: {client} after {fault:?} at step {at}");
                for module in ["lnet", "ksocklnd", "lustre", "mgc", "mdc", "lmv", "lov", "osc"] {
                    assert!(node.is_loaded(module), "{state}: {module} after {fault:?} at step {at}");
                }
            }
        }
    }
    assert!(tried > 100, "only {tried} faults were tried");
}
