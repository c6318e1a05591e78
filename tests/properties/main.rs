//! What must hold for every input, tried with thousands of hostile ones.
//!
//! Most texts that reach the domain were written by people who never read it (`StorageClass` authors, pods,
//! the cloud), and a wrong answer deletes or exposes a user's files. Tables in the modules show what is meant; here
//! stands what no input may break: nothing panics, nothing escapes, what one side writes the other side reads.

#![allow(clippy::unwrap_used, reason = "a generator that cannot build its value is a failed test")]

use proptest::prelude::*;

mod generators;
mod lifecycle;
mod mounts;
mod names;
mod parameters;
mod round_trips;
mod sizes;
mod sub_dirs;
mod tags;
mod volume_ids;

/// A failure that was found becomes a table entry beside the rule, not a file of seeds.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() }
}
