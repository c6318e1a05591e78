//! [`CloudSettings`]: the cluster's cloud settings file (azure.json), read by the adapters.

#[cfg(feature = "arm")]
use crate::adapters::arm::settings::{AzureSettings, CloudSource};
use crate::adapters::cloud_settings::{self, Document, Variables};
pub(super) use crate::adapters::cloud_settings::{CloudFile, read_file, unreadable};
pub use crate::adapters::cloud_settings::{CredentialSelection, EffectiveValue};
use crate::domain::placement::Placement;
use crate::domain::problem::{Problem, Problems};

/// The values of the cloud settings file and of the variables beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudSettings {
    /// Defaults for new volumes: `location`, `resourceGroup`, `vnetName`, `vnetResourceGroup`, `subnetName`.
    pub defaults: Placement,
    /// How Azure is reached. `None` where the controller does not run on Azure, and where the settings are incomplete.
    #[cfg(feature = "arm")]
    pub azure: Option<AzureSettings>,
    /// The source of `azure`, to be read again.
    #[cfg(feature = "arm")]
    pub source: Option<CloudSource>,
    /// The missing file or values, where the controller is to run on Azure.
    pub missing: Vec<Problem>,
    /// Every value in effect and its source; no secret is among them. Empty where no settings are read.
    pub effective_values: Vec<EffectiveValue>,
}

impl CloudSettings {
    /// Why Azure cannot be reached, in one sentence that names the file and what is missing; `None` if it can.
    pub fn reason_for_static_only(&self) -> Option<String> {
        let missing: Vec<String> = self.missing.iter().map(Problem::to_string).collect();
        (!missing.is_empty()).then(|| format!("the cloud settings are incomplete: {}", missing.join("; ")))
    }
}

/// Reads the file, and how Azure is reached where the variables and the kind of credentials are given. A file that is absent
/// or cannot be read is a problem if it is `needed`, and otherwise as good as an empty one.
#[cfg(feature = "arm")]
pub(super) fn read(
    file: &CloudFile,
    needed: bool,
    azure: Option<(Variables, CredentialSelection)>,
    problems: &mut Problems,
) -> Option<CloudSettings> {
    let source = azure.map(|(variables, kind)| CloudSource::new(file.clone(), variables, kind));
    let azure = |reader: &mut cloud_settings::Reader<'_>| source.as_ref().and_then(|source| source.read_from(reader));
    let document = cloud_settings::read(file, needed, azure, problems)?;
    let Document { defaults, cloud, missing, effective_values } = document;
    Some(CloudSettings { defaults, azure: cloud, source, missing, effective_values })
}

/// Reads the file, in a build that does not reach Azure. A file that is absent or cannot be read is a problem if it is
/// `needed`, and otherwise as good as an empty one.
#[cfg(not(feature = "arm"))]
pub(super) fn read(
    file: &CloudFile,
    needed: bool,
    _: Option<(Variables, CredentialSelection)>,
    problems: &mut Problems,
) -> Option<CloudSettings> {
    let Document { defaults, missing, effective_values, .. } =
        cloud_settings::read(file, needed, |_| None::<()>, problems)?;
    Some(CloudSettings { defaults, missing, effective_values })
}

/// The variables of the process, for the adapters.
pub(super) fn variables(environment: &[(String, String)]) -> Variables {
    Variables::new(environment.to_vec())
}
