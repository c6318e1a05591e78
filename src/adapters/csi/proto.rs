//! The messages and services of CSI, generated from `proto/csi.proto` by the build script.
//!
//! Lints are off for the generated code, here and nowhere else. Messages with secrets are generated without `Debug`; they
//! get one here that shows the number of secrets and never their content, so that no log line, test failure or library
//! trace can leak them.

use std::fmt;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    missing_docs,
    unreachable_pub,
    rustdoc::all
)]
#[allow(missing_debug_implementations, rust_2018_idioms)]
mod generated {
    tonic::include_proto!("csi.v1");
}

pub use generated::*;

/// Stands for secrets in `Debug` output.
struct Redacted(usize);

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} redacted]", self.0)
    }
}

/// `Debug` for messages with a field `secrets`. The other fields are listed; leaving one out does not compile.
macro_rules! redacted_debug {
    ($($message:ident { $($field:ident),* $(,)? })*) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { secrets, $($field),* } = self;
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($field), $field))*
                    .field("secrets", &Redacted(secrets.len()))
                    .finish()
            }
        })*

        /// Each such message by name, with a secret in it, as `Debug` shows it.
        #[cfg(test)]
        fn shown_with_secret(secret: &str) -> Vec<(&'static str, String)> {
            let secrets = || [(secret.to_owned(), secret.to_owned())].into_iter().collect();
            vec![$((stringify!($message), format!("{:#?}", $message { secrets: secrets(), ..Default::default() }))),*]
        }
    };
}

redacted_debug! {
    CreateVolumeRequest {
        name, capacity_range, volume_capabilities, parameters, volume_content_source, accessibility_requirements,
        mutable_parameters,
    }
    DeleteVolumeRequest { volume_id }
    ControllerPublishVolumeRequest { volume_id, node_id, volume_capability, readonly, volume_context }
    ControllerUnpublishVolumeRequest { volume_id, node_id }
    ValidateVolumeCapabilitiesRequest { volume_id, volume_context, volume_capabilities, parameters, mutable_parameters }
    ControllerModifyVolumeRequest { volume_id, mutable_parameters }
    CreateSnapshotRequest { source_volume_id, name, parameters }
    DeleteSnapshotRequest { snapshot_id }
    ListSnapshotsRequest { max_entries, starting_token, source_volume_id, snapshot_id }
    GetSnapshotRequest { snapshot_id }
    ControllerExpandVolumeRequest { volume_id, capacity_range, volume_capability }
    NodeStageVolumeRequest { volume_id, publish_context, staging_target_path, volume_capability, volume_context }
    NodePublishVolumeRequest {
        volume_id, publish_context, staging_target_path, target_path, volume_capability, readonly, volume_context,
    }
    NodeExpandVolumeRequest { volume_id, volume_path, capacity_range, staging_target_path, volume_capability }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names in the build script's list, whether written with or without the package.
    fn listed_in_build_script() -> BTreeSet<&'static str> {
        let script = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs"));
        let (_, rest) = script.split_once("MESSAGES_WITH_SECRETS: &[&str] = &[").expect("build.rs has the list");
        let (list, _) = rest.split_once(']').expect("the list ends");
        let quoted = list.split('"').skip(1).step_by(2);
        quoted.map(|name| name.rsplit('.').next().unwrap_or(name)).collect()
    }

    #[test]
    fn debug_counts_secrets_and_never_shows_them() {
        for (message, shown) in shown_with_secret("hunter2") {
            assert!(shown.starts_with(message) && shown.contains("secrets: [1 redacted]"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn every_message_with_secrets_is_covered() {
        let covered: BTreeSet<&str> = shown_with_secret("").into_iter().map(|(message, _)| message).collect();
        assert_eq!(covered, listed_in_build_script());
    }
}
