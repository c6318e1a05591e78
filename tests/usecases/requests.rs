//! Requests that calls cost, and what a volume's context shows.

use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::simulator::Simulator;
use azurelustre_csi::domain::provisioning::VolumeRequest;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind};

use crate::fakes::faulty::{Fault, Faults};
use crate::world::{Azure, BUDGET, NAME, Real, request, request_with};

#[test]
fn a_repeat_of_a_finished_call_costs_one_request() {
    let azure = Azure::new();
    let volume = azure.volume();
    let driver = azure.healthy();
    assert_eq!(driver.create(NAME).unwrap(), volume);
    assert_eq!(driver.operations(), ["observe"]);
}

#[test]
fn later_claims_of_a_process_do_not_read_the_sku_list_again() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create("pvc-1").unwrap();
    let before = driver.operations().len();
    driver.create("pvc-2").unwrap();
    assert_eq!(
        driver.operations()[before..][..3],
        ["observe", "skus", "subnet_capacity"],
        "12 minutes later it is stale"
    );
    let before = driver.operations().len();
    driver.create_as(request("pvc-3"), Some(Duration::from_mins(1))).unwrap_err();
    driver.create_as(request("pvc-4"), Some(Duration::from_mins(1))).unwrap_err();
    let later = &driver.operations()[before..];
    assert_eq!(later.iter().filter(|operation| **operation == "skus").count(), 1, "{later:?}");
}

#[test]
fn an_old_sku_list_serves_while_the_cloud_fails() {
    let azure = Azure::new();
    let failing_later = |call: u32, operation: &str| {
        (call > 2 && operation == "skus").then_some(Fault::Before(CloudErrorKind::Unavailable))
    };
    let faults = Faults::new(azure.clock.clone(), Box::new(failing_later));
    let driver = azure.driver(faults);
    driver.create("pvc-1").unwrap();
    azure.pass(Duration::from_hours(2));
    driver.create("pvc-2").unwrap();
    assert_eq!(azure.billed().len(), 2);
}

#[test]
fn static_volumes_never_touch_the_cloud() {
    let azure = Azure::new();
    let driver = azure.healthy();
    let mut request = request(NAME);
    request.parameters = [("mgs-ip-address".to_owned(), "10.0.0.4".to_owned())].into();
    let volume = driver.create_as(request, BUDGET).unwrap();
    driver.delete(&volume.id.to_string()).unwrap();
    assert_eq!(driver.operations(), Vec::<&str>::new());
}

#[test]
fn the_context_marks_volumes_of_a_simulated_cloud_only() {
    let azure = Azure::new();
    let parameters = [("mgs-ip-address".to_owned(), "10.0.0.4".to_owned())];
    let on_existing = VolumeRequest { parameters: parameters.into(), ..request("pvc-2") };
    let real: Arc<dyn Cloud> = Arc::new(Real(azure.simulator.cloud()));
    let none = || Faults::none(azure.clock.clone());
    for (driver, expected) in [(azure.healthy(), Some("true")), (azure.driver_over(real, none()), None)] {
        for request in [request(NAME), on_existing.clone()] {
            let volume = driver.create_as(request, BUDGET).unwrap();
            assert_eq!(volume.context.get("simulated").map(String::as_str), expected);
        }
        let asked_for = driver.create_as(request_with(&[("simulated", "true")]), BUDGET).unwrap_err();
        assert!(asked_for.message.contains("simulated"), "it is no parameter of a class: {asked_for}");
    }
}

#[test]
fn the_simulated_cluster_has_the_defaults_of_these_cases() {
    // The cases above rest on the defaults of the simulated cluster.
    let azure = Azure::new();
    let defaults = Simulator::defaults(&azure.simulator);
    assert_eq!(defaults.location.unwrap().as_str(), "eastus");
    assert_eq!(defaults.resource_group.unwrap().as_str(), "MC_hpc_aks_eastus");
}

#[test]
fn a_first_claim_costs_few_requests() {
    let azure = Azure::new();
    azure.simulator.cloud().edit_world(|world| world.create_seconds = 1);
    azure.healthy().create(NAME).unwrap();
    let requests = azure.simulator.cloud().requests();
    // Two requests for each question about a subnet.
    let total = requests.observe + requests.create + requests.sku_pages + 2 * requests.subnet_capacity;
    assert_eq!(total, 7, "{requests:?}");
}
