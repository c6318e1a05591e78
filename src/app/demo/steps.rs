//! The walk: what happens to a claim in a cluster, step by step, each one checked.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::calls;
use super::manifests::Manifests;
use super::screen::Screen;
use super::simulated_driver::SimulatedDriver;
use crate::adapters::csi::proto::volume_usage::Unit;
use crate::adapters::csi::proto::{Volume, VolumeUsage};
use crate::app::command_error::CommandError;
use crate::domain::capacity::Bytes;
use crate::domain::volume_attributes::{self, UnknownAttributes};

/// The volume name that external-provisioner would give; the demo's world has no other claims.
const VOLUME_NAME: &str = "pvc-0f8fad5b-d9cb-469f-a165-70867728950e";
const FILE: &str = "outfile";
const TICK: Duration = Duration::from_millis(50);

/// Walks a claim and two pods through the driver.
pub(super) async fn walk(
    driver: &SimulatedDriver,
    manifests: &Manifests,
    screen: &mut Screen,
) -> Result<(), CommandError> {
    introduce(driver, manifests, screen).await?;
    let volume = create(driver, manifests, screen).await?;
    let targets = publish(driver, manifests, &volume, screen).await?;
    share(&targets, manifests, screen)?;
    show_usage(driver, &volume, &targets, manifests, screen).await?;
    unpublish(driver, &volume, &targets, screen).await?;
    delete(driver, &volume, manifests, screen).await
}

async fn introduce(driver: &SimulatedDriver, manifests: &Manifests, screen: &Screen) -> Result<(), CommandError> {
    let (name, version) = driver.calls.identify().await?;
    screen.title(&format!("{name} {version} on the embedded simulator"));
    screen.held(&format!("the gRPC server answers at {}", driver.socket.display()));
    screen.fact(&format!("one minute in Azure takes {:.1} s here", 60.0 / driver.speed));
    let (class, claim, pods) = (&manifests.class, &manifests.claim, manifests.pods.join(" and "));
    screen.fact(&format!("StorageClass {class}, claim {claim} ({}), pod {pods}", manifests.storage));
    Ok(())
}

async fn create(driver: &SimulatedDriver, manifests: &Manifests, screen: &mut Screen) -> Result<Volume, CommandError> {
    screen.title("1. The claim is created: CreateVolume");
    let before = driver.filesystems().len();
    let volume = watch(driver, screen, driver.create_time(), driver.calls.create(VOLUME_NAME, manifests)).await?;
    let made = driver.filesystems().len() - before;
    let expected = usize::from(!manifests.parameters.keys().any(|key| key.eq_ignore_ascii_case("mgs-ip-address")));
    check(made == expected, || format!("{made} file systems were made, not {expected}"))?;
    screen.held(&format!("volume {}", volume.volume_id));
    screen.fact(&format!("capacity {}", Bytes(volume.capacity_bytes.unsigned_abs())));
    for filesystem in driver.filesystems() {
        screen.fact(&filesystem);
    }
    let again = driver.calls.create(VOLUME_NAME, manifests).await?;
    check(again == volume, || "a repeated CreateVolume gave another volume".to_owned())?;
    screen.held("repeated, the call finds the same volume again");
    Ok(volume)
}

async fn publish(
    driver: &SimulatedDriver,
    manifests: &Manifests,
    volume: &Volume,
    screen: &Screen,
) -> Result<Vec<PathBuf>, CommandError> {
    let begin = if manifests.pods.len() > 1 { "Two pods start" } else { "The pod starts" };
    screen.title(&format!("2. {begin}: NodePublishVolume"));
    let targets: Vec<PathBuf> = manifests.pods.iter().map(|pod| driver.target(pod)).collect::<Result<_, _>>()?;
    for (pod, target) in manifests.pods.iter().zip(&targets) {
        driver.calls.publish(volume, target, pod, manifests).await?;
        driver.calls.publish(volume, target, pod, manifests).await?;
        screen.held(&format!("pod {pod} has the volume at {}", target.display()));
    }
    Ok(targets)
}

fn share(targets: &[PathBuf], manifests: &Manifests, screen: &Screen) -> Result<(), CommandError> {
    let (Some(first), Some(last)) = (targets.first(), targets.last()) else { return Ok(()) };
    screen.title(if targets.len() > 1 { "3. The pods share files" } else { "3. The pod writes a file" });
    if manifests.is_read_only() {
        screen.fact("the volume is mounted read-only, so nothing is written");
        return Ok(());
    }
    let text = "written by the first pod\n";
    let [first, last] = [first, last].map(|target| target.join(FILE));
    std::fs::write(&first, text).map_err(|error| in_file(&first, &error))?;
    let read = std::fs::read_to_string(&last).map_err(|error| in_file(&last, &error))?;
    check(read == text, || format!("the last pod read {read:?}"))?;
    let reader = if targets.len() > 1 { "the second" } else { "itself; the claim is for one pod" };
    let (path, read) = (&manifests.mount_path, read.trim_end());
    screen.held(&format!("{path}/{FILE} of the first pod is read by {reader}: {read:?}"));
    Ok(())
}

async fn show_usage(
    driver: &SimulatedDriver,
    volume: &Volume,
    targets: &[PathBuf],
    manifests: &Manifests,
    screen: &Screen,
) -> Result<(), CommandError> {
    screen.title("4. How full is it: NodeGetVolumeStats");
    let (Some(pod), Some(target)) = (manifests.pods.first(), targets.first()) else { return Ok(()) };
    let usage = driver.calls.usage(&volume.volume_id, target).await?;
    let of = |unit: Unit| usage.iter().find(|entry| entry.unit() == unit).copied();
    let (Some(bytes), Some(inodes)) = (of(Unit::Bytes), of(Unit::Inodes)) else {
        return Err(CommandError::failed("the answer lacks bytes or inodes"));
    };
    check(bytes.total > 0 && inodes.used > 0, || format!("odd figures: {bytes:?} {inodes:?}"))?;
    let source = source(&calls::context(volume, pod, manifests), target)?;
    screen.held("the volume is there and not full");
    screen.fact(&format!("{:<28} {:>8} {:>8} {:>8} {:>5} Mounted on", "Filesystem", "Size", "Used", "Avail", "Use%"));
    screen.fact(&row(&source, &bytes, &manifests.mount_path));
    Ok(())
}

async fn unpublish(
    driver: &SimulatedDriver,
    volume: &Volume,
    targets: &[PathBuf],
    screen: &Screen,
) -> Result<(), CommandError> {
    screen.title("5. The pods end: NodeUnpublishVolume");
    for target in targets {
        driver.calls.unpublish(&volume.volume_id, target).await?;
        driver.calls.unpublish(&volume.volume_id, target).await?;
        check(!there(target), || format!("{} is still there", target.display()))?;
        screen.held(&format!("{} is gone; repeated, the call changes nothing", target.display()));
    }
    Ok(())
}

async fn delete(
    driver: &SimulatedDriver,
    volume: &Volume,
    manifests: &Manifests,
    screen: &mut Screen,
) -> Result<(), CommandError> {
    screen.title("6. The claim is deleted: DeleteVolume");
    if manifests.retain {
        screen.fact(
            "reclaimPolicy Retain: a cluster would keep the volume, and its cost; here it is deleted all the same",
        );
    }
    watch(driver, screen, driver.delete_time(), driver.calls.delete(&volume.volume_id)).await?;
    let left = driver.filesystems();
    check(left.is_empty(), || format!("left in the simulated Azure: {}", left.join(", ")))?;
    if driver.made_any() {
        screen.held("its file system is gone from the simulated Azure");
    } else {
        screen.held("the file system existed before and is left alone");
    }
    Ok(())
}

/// What is mounted, as `df` shows it on a node.
fn source(context: &HashMap<String, String>, target: &Path) -> Result<String, CommandError> {
    let context = context.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let read = volume_attributes::parse(&context, target, UnknownAttributes::Warn);
    read.map(|(source, _)| source.to_string()).map_err(|error| CommandError::failed(error.to_string()))
}

/// Shows the file systems' progress while `call` runs.
async fn watch<T>(
    driver: &SimulatedDriver,
    screen: &mut Screen,
    usual: Duration,
    call: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let begun = driver.simulated_now();
    screen.begin();
    tokio::pin!(call);
    let result = loop {
        tokio::select! {
            result = &mut call => break result,
            () = tokio::time::sleep(TICK) => {
                if let Some(state) = driver.state() {
                    screen.progress(&state, driver.simulated_now().saturating_sub(begun), usual);
                }
            }
        }
    };
    screen.end();
    result
}

fn row(source: &str, usage: &VolumeUsage, mount_path: &str) -> String {
    let percent = usage.used.saturating_mul(100).checked_div(usage.total).unwrap_or(0);
    let [total, used, available] = [usage.total, usage.used, usage.available].map(human);
    format!("{source:<28} {total:>8} {used:>8} {available:>8} {percent:>4}% {mount_path}")
}

/// A number of bytes as `df -h` shows it.
fn human(bytes: i64) -> String {
    let mut rest = bytes.unsigned_abs();
    let mut unit = "B";
    for larger in ["K", "M", "G", "T", "P"] {
        if rest < 1024 {
            break;
        }
        rest = rest.div_ceil(1024);
        unit = larger;
    }
    format!("{rest}{unit}")
}

fn check(held: bool, otherwise: impl FnOnce() -> String) -> Result<(), CommandError> {
    if held { Ok(()) } else { Err(CommandError::failed(otherwise())) }
}

fn in_file(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("{}: {error}", path.display()))
}

/// Whether anything is at a path, links included.
fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_like_df() {
        let shown = [0, 1023, 1024, 48 << 40, 1500].map(human);
        assert_eq!(shown, ["0B", "1023B", "1K", "48T", "2K"]);
    }
}
