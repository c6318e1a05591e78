//! Calls that meet: the same volume created twice at once, created while it is deleted, and many volumes together.

use std::time::Duration;

use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::inbound::{Failure, FailureKind, Provisioning};
use futures_lite::future::{yield_now, zip};

use crate::fakes::faulty::Faults;
use crate::world::{Azure, Driver, NAME, patient, request};

/// A driver whose calls to the cloud let other tasks go first.
fn interleaving(azure: &Azure, yields: u32) -> Driver {
    azure.driver(Faults::yielding(azure.clock.clone(), yields))
}

async fn after<T>(steps: u32, work: impl Future<Output = T>) -> T {
    for _ in 0..steps {
        yield_now().await;
    }
    work.await
}

/// Every way in which the second call comes later, with calls that are slower and slower.
fn orders() -> impl Iterator<Item = (u32, u32)> {
    (1..4).flat_map(|yields| (0..40).map(move |lead| (yields, lead)))
}

fn busy<T>(result: &Result<T, Failure>) -> bool {
    result.as_ref().err().is_some_and(|failure| {
        assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        assert!(failure.message.contains("already exists"), "{failure}");
        true
    })
}

#[test]
fn two_creations_of_one_volume_share_the_outcome() {
    let mut met = 0;
    for (yields, lead) in orders() {
        let azure = Azure::new();
        let driver = interleaving(&azure, yields);
        let create = || driver.provision.create(request(NAME), patient());
        let (first, second) = azure.clock.run(zip(create(), after(lead, create())));
        assert_eq!(first.unwrap(), second.unwrap(), "({yields}, {lead})");
        assert_eq!((azure.billed().len(), azure.made(NAME)), (1, 1), "({yields}, {lead})");
        met += u32::from(driver.count("skus") == 1);
    }
    assert!(met > 20, "only {met} met");
}

/// What is joined is the plan and not its spelling; each caller gets the context of its own request.
#[test]
fn the_same_plan_in_another_spelling_is_joined() {
    let azure = Azure::new();
    let driver = azure.healthy();
    let mut other = request(NAME);
    let sku = other.parameters.remove("sku-name").unwrap();
    other.parameters.insert("SKU-Name".to_owned(), sku);
    other.parameters.insert("location".to_owned(), "East US".to_owned());
    let first = driver.provision.create(request(NAME), patient());
    let (first, second) = azure.clock.run(zip(first, driver.provision.create(other, patient())));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.id, second.id);
    assert!(second.context.contains_key("SKU-Name") && first.context.contains_key("sku-name"));
    assert_eq!(driver.count("begin_create"), 1);
}

#[test]
fn another_content_is_aborted_with_what_runs_since_when() {
    let azure = Azure::new();
    let driver = azure.healthy();
    let mut other = request(NAME);
    other.parameters.insert("zone".to_owned(), "2".to_owned());
    let late = async {
        azure.clock.sleep(Duration::from_secs(70)).await;
        driver.provision.create(other, patient()).await
    };
    let (first, second) = azure.clock.run(zip(driver.provision.create(request(NAME), patient()), late));
    first.unwrap();
    let failure = second.unwrap_err();
    assert_eq!(failure.kind, FailureKind::InProgress);
    assert!(failure.message.contains("(create) on pvc-1 with other parameters already exists"), "{failure}");
    assert!(failure.message.contains("in progress for 1m10s"), "{failure}");
}

#[test]
fn creating_and_deleting_one_volume_exclude_each_other() {
    let mut met = 0;
    for (yields, lead) in orders() {
        let azure = Azure::new();
        let volume_id = azure.volume().id.to_string();
        let driver = interleaving(&azure, yields);
        let delete = driver.provision.delete(&volume_id, patient());
        let create = after(lead, driver.provision.create(request(NAME), patient()));
        let (deleted, created) = azure.clock.run(zip(delete, create));
        assert!(!busy(&deleted), "({yields}, {lead})");
        met += u32::from(busy(&created));
        let expected = usize::from(created.is_ok());
        assert_eq!(azure.billed().len(), expected, "({yields}, {lead})");
    }
    assert!(met > 20, "only {met} met");
}

#[test]
fn two_deletions_of_one_volume_share_the_outcome() {
    for (yields, lead) in orders() {
        let azure = Azure::new();
        let volume_id = azure.volume().id.to_string();
        let driver = interleaving(&azure, yields);
        let delete = || driver.provision.delete(&volume_id, patient());
        let (first, second) = azure.clock.run(zip(delete(), after(lead, delete())));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(azure.billed(), Vec::<String>::new());
        assert_eq!(driver.count("begin_delete"), 1);
    }
}

/// Creates all volumes at once: a tree of pairs, polled by turns.
fn all<'a>(driver: &'a Driver, names: &'a [String]) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(async move {
        match names {
            [] => {}
            [name] => drop(driver.provision.create(request(name), patient()).await.unwrap()),
            many => {
                let (left, right) = many.split_at(many.len() / 2);
                zip(all(driver, left), all(driver, right)).await;
            }
        }
    })
}

#[test]
fn volumes_do_not_wait_for_each_other() {
    let azure = Azure::new();
    azure.simulator.cloud().edit_world(|world| {
        world.quota = 1000;
        world.free_addresses = 100_000;
    });
    let driver = interleaving(&azure, 2);
    let names: Vec<String> = (0..200).map(|number| format!("pvc-{number}")).collect();
    azure.clock.run(all(&driver, &names));
    assert_eq!(azure.billed().len(), 200);
    assert!(names.iter().all(|name| azure.made(name) == 1));
}
