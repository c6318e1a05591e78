//! Life cycle and deletion: no state of the world leads to a wrong step.

use std::time::Duration;

use azurelustre_csi::app::usecase::{deadline, polling, time_format};
use azurelustre_csi::domain::filesystem::{Observed, ProvisioningState};
use azurelustre_csi::domain::lifecycle::Step;
use azurelustre_csi::domain::mount_source::MgsAddress;
use azurelustre_csi::domain::reclaim::ReclaimStep;
use azurelustre_csi::domain::{lifecycle, reclaim, request_limits};
use proptest::option;
use proptest::prelude::*;

use crate::config;
use crate::generators::{agrees, desired, duration, filesystem, hostile, state, volume_name};

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..config() })]

    #[test]
    fn no_state_of_the_world_leads_to_a_wrong_step((found, ours) in filesystem(), desired in desired()) {
        let step = lifecycle::next(&Observed::Present(Box::new(found.clone())), &desired);
        prop_assert_eq!(matches!(step, Step::NotOwned(_)), !ours);
        let was_ready = !found.mgs_address.as_str().trim().is_empty();
        let ended = matches!(found.state, ProvisioningState::Failed | ProvisioningState::Canceled);
        let usable = MgsAddress::parse(found.mgs_address.as_str()).is_ok() && found.capacity.is_some();
        match step {
            Step::Create => prop_assert!(false, "it is there"),
            Step::Ready(ready) => {
                prop_assert!(found.state == ProvisioningState::Succeeded && usable && agrees(&found, &desired));
                prop_assert_eq!((ready.mgs_address.as_str(), Some(ready.capacity)), (found.mgs_address.as_str(), found.capacity));
            }
            Step::Wait(state) => {
                prop_assert!(agrees(&found, &desired) && state == found.state && !ended);
                prop_assert!(state != ProvisioningState::Succeeded || !usable, "ready, but waited for");
            }
            Step::DeleteFailed { reason } => {
                prop_assert!(ended && !was_ready && agrees(&found, &desired));
                prop_assert_eq!(reason, found.failure);
            }
            Step::FailedAfterReady { .. } => prop_assert!(ended && was_ready),
            Step::Conflict(differences) => prop_assert!(!differences.is_empty() && !agrees(&found, &desired)),
            Step::NotOwned(_) => {}
        }
    }

    #[test]
    fn only_ours_is_deleted((found, ours) in filesystem()) {
        let step = reclaim::next(&Observed::Present(Box::new(found.clone())), &volume_name());
        match step {
            ReclaimStep::Refuse(_) => prop_assert!(!ours),
            ReclaimStep::Delete => prop_assert!(ours && found.state != ProvisioningState::Deleting),
            ReclaimStep::Wait => prop_assert!(ours && found.state == ProvisioningState::Deleting),
            ReclaimStep::Done => prop_assert!(false, "it is still there"),
        }
    }

    #[test]
    fn states_keep_their_word(word in prop_oneof![hostile(), state().prop_map(|state| state.as_str().to_owned())]) {
        let state = ProvisioningState::parse(&word);
        prop_assert_eq!(ProvisioningState::parse(state.as_str()), state);
    }

    #[test]
    fn pauses_are_bounded(poll in any::<u32>(), asked in option::of(duration()), timeout in option::of(duration())) {
        let pause = polling::pause(poll, asked);
        prop_assert!(pause >= Duration::from_secs(2) && pause <= polling::LONGEST_RETRY_AFTER);
        prop_assert!(asked.is_some() || pause <= polling::LONGEST_PAUSE);
        prop_assert!(asked.is_none_or(|asked| pause >= asked.min(polling::LONGEST_RETRY_AFTER)));
        prop_assert!(pause <= polling::pause(poll.saturating_add(1), asked), "a later poll comes sooner");
        let recreate = request_limits::recreate_pause(poll);
        prop_assert!(recreate >= Duration::from_secs(30) && recreate <= Duration::from_mins(10));
        let (all, working) = (timeout.unwrap_or(deadline::DEFAULT_TIMEOUT), deadline::working_time(timeout));
        prop_assert!(working <= all && all.checked_sub(working).unwrap() <= Duration::from_secs(5));
        prop_assert!(working > Duration::ZERO || all.is_zero());
        prop_assert!(!time_format::format_duration(all).is_empty());
    }
}
