//! A file system that is not owned by this driver is neither adopted nor deleted, for any id.

use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US, PV_NAME};
use azurelustre_csi::ports::inbound::FailureKind;

use crate::fakes::arm::Kind;
use crate::stack::Stack;
use crate::world::NAME;

/// Tags under which a file system is not this volume's.
const NOT_OWNED: [&[(&str, &str)]; 5] = [
    &[],
    &[("team", "hpc")],
    &[(CREATED_BY, "another-tool")],
    &[(CREATED_BY, CREATED_BY_US), (PV_NAME, "pvc-2")],
    &[(PV_NAME, NAME)],
];

const STATES: [ProvisioningState; 4] =
    [ProvisioningState::Succeeded, ProvisioningState::Failed, ProvisioningState::Creating, ProvisioningState::Deleting];

#[test]
fn a_file_system_that_is_not_owned_is_not_adopted() {
    for tags in NOT_OWNED {
        for state in STATES {
            let stack = Stack::new();
            stack.azure.place(NAME, tags, state.clone(), "10.9.9.9");
            let failure = stack.healthy().create(NAME).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Conflict, "{tags:?} {state:?}: {failure}");
            assert_eq!(stack.kinds(), [Kind::Get], "{tags:?} {state:?}");
        }
    }
}

#[test]
fn a_file_system_that_is_not_owned_is_not_deleted() {
    for tags in NOT_OWNED {
        for state in [ProvisioningState::Succeeded, ProvisioningState::Failed, ProvisioningState::Creating] {
            let stack = Stack::new();
            stack.azure.place(NAME, tags, state.clone(), "");
            for id in [
                format!("{NAME}#lustrefs#10.9.9.9##t#MC_hpc_aks_eastus"),
                format!("{NAME}#lustrefs#10.9.9.9#a/b#t#mc_HPC_aks_eastus"),
            ] {
                let failure = stack.healthy().delete(&id).unwrap_err();
                assert_eq!(failure.kind, FailureKind::Precondition, "{tags:?} {state:?}: {failure}");
                assert!(!stack.kinds().contains(&Kind::Delete), "{tags:?} {state:?}");
            }
        }
    }
}

#[test]
fn a_name_cannot_lead_to_another_resource() {
    for id in [
        "../../x#lustrefs#10.0.0.4##t#rg",
        "a/b#lustrefs#10.0.0.4##t#rg",
        "pvc-1#lustrefs#10.0.0.4##t#../other",
        "pvc-1#lustrefs#10.0.0.4##t#a%2fb",
        "pvc-1#lustrefs#10.0.0.4##t#..",
        "pvc-1?x#lustrefs#10.0.0.4##t#rg",
    ] {
        let stack = Stack::new();
        // Refused or nothing to do; in no case is anything asked of ARM about another name.
        drop(stack.healthy().delete(id));
        assert_eq!(stack.kinds(), [], "{id}");
    }
}
