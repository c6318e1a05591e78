//! Plans a volume without touching any cloud: how large it gets, how fast it is, what happens next, what deletion does.
//!
//! Needs the core only: `cargo run --no-default-features --example plan [-- --size 17Ti --sku NAME --state Failed]`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::capacity::RequestedCapacity;
use azurelustre_csi::domain::filesystem::{
    Filesystem, FilesystemSpec, Observed, ProvisioningState, ReportedMgsAddress,
};
use azurelustre_csi::domain::lifecycle::{self, Step};
use azurelustre_csi::domain::placement::Placement;
use azurelustre_csi::domain::provisioning::{DynamicProvision, ProvisionPlan, VolumeRequest};
use azurelustre_csi::domain::reclaim::{self, ReclaimStep};
use azurelustre_csi::domain::sku::{CAPABILITY_BANDWIDTH, CAPABILITY_INCREMENT, CAPABILITY_MAXIMUM, Sku, SkuCatalog};
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US};

/// SKUs and their capabilities, as ARM lists them for a region.
const CAPABILITIES: [&str; 3] = [CAPABILITY_BANDWIDTH, CAPABILITY_INCREMENT, CAPABILITY_MAXIMUM];
const SKUS: [(&str, [&str; 3]); 4] = [
    ("AMLFS-Durable-Premium-40", ["40", "48", "768"]),
    ("AMLFS-Durable-Premium-125", ["125", "16", "128"]),
    ("AMLFS-Durable-Premium-250", ["250", "8", "128"]),
    ("AMLFS-Durable-Premium-500", ["500", "4", "128"]),
];

/// The value of each flag.
type Case<'a> = BTreeMap<&'a str, &'a str>;

/// What is asked for, and what the cloud shows: provisioning state, MGS address, creator that the tag names.
const FLAGS: [(&str, &str); 5] = [
    ("--size", "17Ti"),
    ("--sku", "AMLFS-Durable-Premium-125"),
    ("--state", "Absent"),
    ("--address", ""),
    ("--created-by", CREATED_BY_US),
];
const USAGE: &str = "flags are --size 17Ti, --sku NAME, --state Creating, --address 10.0.0.4, --created-by WHO";

/// Nothing is there; it is on its way; its creation failed; the name belongs to a file system that is not owned by this driver.
const WORKED_CASES: [&str; 4] = ["", "--state Creating", "--state Failed", "--state Succeeded --created-by terraform"];

/// What is wrong, and what to do about it.
type Mistake = (String, &'static str);

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let cases: &[&str] = if arguments.is_empty() { &WORKED_CASES } else { &[&arguments] };
    for flags in cases {
        if let Err((error, hint)) = parse(flags).and_then(|case| describe(&case)) {
            eprintln!("error: {error}\nhint: {hint}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn parse(flags: &str) -> Result<Case<'_>, Mistake> {
    let (mut case, mut words) = (Case::from(FLAGS), flags.split_whitespace());
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| (format!("{flag} needs a value"), USAGE))?;
        case.insert(flag, value).ok_or_else(|| (format!("{flag} is not known"), USAGE))?;
    }
    Ok(case)
}

/// The heart of the matter: request, plan, SKU, spec; then observation and decision.
fn describe(case: &Case<'_>) -> Result<(), Mistake> {
    let plan = plan(case)?;
    let skus = SKUS.map(|(name, values)| Sku::from_capabilities(name, vec![], CAPABILITIES.into_iter().zip(values)));
    let catalog = SkuCatalog::new(plan.desired().location.clone(), skus);
    let sku =
        catalog.get(&plan.desired().sku_name).map_err(|error| (error.to_string(), "give an offered one with --sku"))?;
    let spec = plan.spec(sku).map_err(|error| (error.to_string(), "give a smaller --size or another --sku"))?;
    let observed = observed(case, &spec);
    println!("{} of {sku}", case["--size"]);
    println!("  made        {} with {} MB/s", spec.capacity, sku.throughput(spec.capacity));
    println!("  found       {}", case["--state"]);
    println!("  next step   {}", next_step(lifecycle::next(&observed, plan.desired())));
    println!("  on delete   {}", deletion(&reclaim::next(&observed, &spec.id.name)));
    Ok(())
}

fn plan(case: &Case<'_>) -> Result<DynamicProvision, Mistake> {
    let parameters = [
        ("sku-name", case["--sku"]),
        ("maintenance-day-of-week", "Sunday"),
        ("maintenance-time-of-day-utc", "22:00"),
        ("location", "East US"),
        ("resource-group-name", "team"),
        ("vnet-name", "vnet"),
        ("subnet-name", "lustre"),
    ];
    let access = Some(AccessType::Mount { flags: vec![] });
    let request = VolumeRequest {
        name: "pvc-1".to_owned(),
        capacity: RequestedCapacity::at_least(bytes(case["--size"])?),
        capabilities: vec![Capability { access, mode: Some(AccessMode::MultiNodeMultiWriter) }],
        parameters: parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    };
    match ProvisionPlan::parse(&request, &Placement::default()) {
        Ok(ProvisionPlan::Dynamic(plan)) => Ok(*plan),
        Ok(ProvisionPlan::Existing(volume)) => {
            Err((format!("{} is there already", volume.id), "leave mgs-ip-address out"))
        }
        Err(error) => Err((error.to_string(), USAGE)),
    }
}

/// What the cloud would show: nothing, or the file system of `spec` in the state of the case.
fn observed(case: &Case<'_>, spec: &FilesystemSpec) -> Observed {
    if case["--state"] == "Absent" {
        return Observed::Absent;
    }
    Observed::Present(Box::new(Filesystem {
        mgs_address: ReportedMgsAddress::parse(case["--address"]),
        tags: [(CREATED_BY.to_owned(), case["--created-by"].to_owned())].into(),
        ..Filesystem::of(spec, ProvisioningState::parse(case["--state"]))
    }))
}

fn next_step(step: Step) -> String {
    match step {
        Step::Create => "create it".to_owned(),
        Step::Wait(state) => format!("wait: it is {}", state.as_str()),
        Step::Ready(ready) => format!("done: mount {}:/{}", ready.mgs_address, ready.fs_name),
        Step::DeleteFailed { .. } => "delete what failed, then create it anew".to_owned(),
        Step::FailedAfterReady { .. } => "refuse: it failed after it was ready, so a person has to check it".to_owned(),
        Step::NotOwned(reason) => format!("refuse: {reason}"),
        Step::Conflict(all) => all.iter().fold("refuse".to_owned(), |text, one| format!("{text}: {one}")),
    }
}

fn deletion(step: &ReclaimStep) -> String {
    match step {
        ReclaimStep::Done => "nothing to do".to_owned(),
        ReclaimStep::Delete => "the file system goes".to_owned(),
        ReclaimStep::Wait => "it is going already".to_owned(),
        ReclaimStep::Refuse(reason) => format!("refuse: {reason}"),
    }
}

/// Bytes of a size in bytes or in whole Ti.
fn bytes(size: &str) -> Result<i64, Mistake> {
    let (number, unit) = size.strip_suffix("Ti").map_or((size, 1), |number| (number, 1 << 40));
    let bytes = number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| (format!("`{size}` is not a size"), "give it in bytes or as 48Ti"))
}
