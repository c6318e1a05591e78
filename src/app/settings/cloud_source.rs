//! [`CloudSource`]: the cloud settings file and the variables beside it, to be read again while the process runs.

use std::path::{Path, PathBuf};

use super::azure::AzureSettings;
use super::cloud;
use super::raw::RawSettings;
use super::values::AuthKind;
use crate::app::problem::{Problem, Problems};

/// Where the cloud settings come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudSource {
    path: PathBuf,
    /// The variables of the start; flags say nothing about Azure.
    given: RawSettings,
    kind: AuthKind,
}

impl CloudSource {
    pub(super) fn new(path: &Path, given: &RawSettings, kind: AuthKind) -> Self {
        let given = RawSettings { flags: Vec::new(), environment: given.environment.clone() };
        Self { path: path.to_owned(), given, kind }
    }

    /// The file; it may not exist, where variables say everything.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads how Azure is reached again, under the same rules as at the start. Fails with everything that is wrong or
    /// missing.
    pub fn read(&self) -> Result<AzureSettings, Vec<Problem>> {
        let mut problems = Problems::default();
        let wanted = Some((&self.given, self.kind));
        let file = cloud::CloudFile { path: self.path.clone(), named_by: "cloud settings".to_owned() };
        let settings = cloud::read(&file, false, wanted, &mut problems).unwrap_or_default();
        settings.missing.into_iter().for_each(|problem| problems.push(problem));
        problems.into_result(settings.azure).map_err(Problems::into_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::Auth;

    #[test]
    fn a_file_is_read_again_with_the_variables_of_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("azure.json");
        let environment = vec![("AZURE_TENANT_ID".to_owned(), "from-variable".to_owned())];
        let file = CloudSource::new(&path, &RawSettings { environment, ..RawSettings::default() }, AuthKind::Auto);
        assert!(file.read().is_err(), "it is not there");
        for secret in ["one", "two"] {
            let text = format!(r#"{{"subscriptionId":"s","aadClientId":"c","aadClientSecret":"{secret}"}}"#);
            std::fs::write(&path, text).unwrap();
            let Auth::ClientSecret { tenant_id, secret: read, .. } = file.read().unwrap().auth else {
                panic!("no secret")
            };
            assert_eq!((tenant_id.as_str(), read.reveal()), ("from-variable", secret));
        }
        std::fs::write(&path, r#"{"subscriptionId":"s","aadClientSecret":"geheim"}"#).unwrap();
        let problems = format!("{:?} {:?}", file.read().unwrap_err(), file);
        assert!(problems.contains("aadClientId") && !problems.contains("geheim"), "{problems}");
    }
}
