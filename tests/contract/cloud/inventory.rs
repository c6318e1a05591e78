//! Laws of SKU lists and of free addresses in subnets.

use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::FilesystemSpec;
use azurelustre_csi::ports::cloud::{CloudErrorKind, SubnetCapacityRequest};
use libtest_mimic::Failed;

use super::Law;
use super::world::{CloudWorld, id, location, spec, subnet};
use crate::harness::{LawResult, laws};

pub(crate) const LAWS: &[Law] = laws![
    every_page_of_the_list_is_read_and_other_products_are_not,
    zones_are_those_of_the_region_and_may_be_absent,
    an_unreadable_entry_hides_no_other,
    a_region_that_offers_nothing_has_an_empty_list,
    subnet_capacity_counts_free_addresses_and_shrinks_with_each_creation,
    a_deleted_file_system_releases_its_addresses,
    an_absent_subnet_is_not_found,
];

fn request(tib: u32) -> Result<SubnetCapacityRequest, Failed> {
    Ok(SubnetCapacityRequest { subnet: subnet()?, sku_name: spec("fs1")?.sku_name, capacity: Tib(tib) })
}

async fn every_page_of_the_list_is_read_and_other_products_are_not(world: &CloudWorld) -> LawResult {
    let skus = world.cloud().skus(&location("eastus")?).await?;
    let names: Vec<&str> = skus.skus().iter().map(|sku| sku.name.as_str()).collect();
    let expected = [
        "AMLFS-Durable-Premium-125",
        "AMLFS-Durable-Premium-250",
        "AMLFS-Durable-Premium-40",
        "AMLFS-Durable-Premium-500",
    ];
    assert_eq!(names, expected);
    let sku = skus.get("AMLFS-Durable-Premium-40")?;
    assert_eq!((sku.increment, sku.maximum, sku.bandwidth_per_tib), (Tib(48), Tib(768), 40));
    Ok(())
}

async fn zones_are_those_of_the_region_and_may_be_absent(world: &CloudWorld) -> LawResult {
    for (region, zones) in [("eastus", 3), ("westus2", 2), ("westus", 0), ("northcentralus", 0)] {
        let skus = world.cloud().skus(&location(region)?).await?;
        assert_eq!(skus.location(), &location(region)?);
        assert!(skus.skus().iter().all(|sku| sku.zones.len() == zones), "{region}: {skus:?}");
        assert_eq!(skus.skus().len(), 4, "{region}");
    }
    Ok(())
}

async fn an_unreadable_entry_hides_no_other(world: &CloudWorld) -> LawResult {
    world.given_unreadable_sku("AMLFS-Odd");
    let skus = world.cloud().skus(&location("eastus")?).await?;
    assert_eq!(skus.skus().len(), 4);
    let reason = skus.get("AMLFS-Odd").err().ok_or("an unreadable SKU was offered")?;
    assert!(reason.message.contains("cannot be used"), "{reason}");
    Ok(())
}

async fn a_region_that_offers_nothing_has_an_empty_list(world: &CloudWorld) -> LawResult {
    assert!(world.cloud().skus(&location("nowhere")?).await?.skus().is_empty());
    Ok(())
}

async fn subnet_capacity_counts_free_addresses_and_shrinks_with_each_creation(world: &CloudWorld) -> LawResult {
    world.given_free_addresses(100);
    let before = world.cloud().subnet_capacity(&request(4)?).await?;
    assert_eq!(before.available, 100);
    assert!(before.required > 0);
    let larger = world.cloud().subnet_capacity(&request(128)?).await?;
    assert!(larger.required > before.required, "a larger file system needs no more addresses");
    world.cloud().begin_create(&spec("fs1")?).await?;
    let after = world.cloud().subnet_capacity(&request(4)?).await?;
    assert_eq!(after.available, 100 - before.required);
    Ok(())
}

async fn a_deleted_file_system_releases_its_addresses(world: &CloudWorld) -> LawResult {
    world.given_free_addresses(100);
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.finish_pending();
    world.cloud().begin_delete(&id("fs1")?).await?;
    assert!(world.cloud().subnet_capacity(&request(4)?).await?.available < 100, "addresses are held until it is gone");
    world.finish_pending();
    assert_eq!(world.cloud().subnet_capacity(&request(4)?).await?.available, 100);
    Ok(())
}

async fn an_absent_subnet_is_not_found(world: &CloudWorld) -> LawResult {
    world.given_only_known_subnets();
    let error = world.cloud().subnet_capacity(&request(4)?).await.err().ok_or("capacity of a subnet that is absent")?;
    assert_eq!(error.kind, CloudErrorKind::NotFound);
    let spec = FilesystemSpec { ..spec("fs1")? };
    assert!(world.cloud().begin_create(&spec).await.is_err());
    Ok(())
}
