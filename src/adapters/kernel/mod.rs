//! Lustre through the kernel's client: mount(2), umount2(2) and statfs(2) without helper programs.
//!
//! A mount on a dead server hangs for minutes and cannot be killed; it must not delay any other volume. So:
//!
//! - Every call that may block runs on a thread of its own, never on the runtime's (`threads`). The caller waits up to a
//!   limit and then gets [`Stuck`]; the operation stays in the `operation_registry`, where a repeated call finds it.
//! - An unmount that finds a mount in progress abandons it: should that mount succeed later, it is unmounted again.
//! - Each MGS has a bounded number of mounts in progress (`mgs_limit`), and must accept a TCP connection before another is
//!   begun while some of them are overdue or have just failed.
//! - What is mounted is read from mountinfo by path, each time. `mount_records` only adds which volume a mount is of.
//!
//! [`KernelMounter`] is the asynchronous half (`mounter`), `blocking` what its threads share. The operations, each with both
//! halves in one file: `mount` (with `occupancy` and `mount_call`), `unmount`, `statfs`, `sub_dir` (with `private_mount`)
//! and `published`.
//!
//! [`Stuck`]: crate::ports::mounter::MountErrorKind::Stuck

mod blocking;
pub mod client_state;
pub mod doctor;
mod errno;
mod host_names;
pub mod lustre_client;
mod mgs_connection;
mod mgs_limit;
mod mount;
pub mod mount_args;
mod mount_call;
mod mount_records;
mod mounter;
pub mod node_faults;
mod occupancy;
mod open_users;
mod operation_registry;
mod private_mount;
pub mod propagation;
mod published;
pub mod settings;
mod statfs;
mod sub_dir;
pub mod syscalls;
mod threads;
mod tuning;
mod unmount;
mod vol_data;
pub mod working_dir;

pub use self::blocking::Dependencies;
pub use self::mounter::KernelMounter;
