//! [`CloudSource`]: the cloud settings file and the variables, from which [`AzureSettings`] are read again while the process
//! runs.

use std::path::Path;

use super::AzureSettings;
use crate::adapters::cloud_settings::{self, CloudFile, CredentialSelection, Reader, Variables};
use crate::domain::problem::{Problem, Problems};

/// Where the cloud settings come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudSource {
    file: CloudFile,
    /// The variables of the process.
    variables: Variables,
    selection: CredentialSelection,
}

impl CloudSource {
    /// This file, these variables, this selection of the credential.
    pub fn new(file: CloudFile, variables: Variables, selection: CredentialSelection) -> Self {
        Self { file, variables, selection }
    }

    /// The file; it need not exist where variables hold everything.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Reads the settings from the file of `reader`; problems and missing values are reported there.
    pub fn read_from(&self, reader: &mut Reader<'_>) -> Option<AzureSettings> {
        super::read(reader, &self.variables, self.selection)
    }

    /// Reads the settings again, under the same rules as at the start. Fails with all problems and missing values.
    pub fn read(&self) -> Result<AzureSettings, Vec<Problem>> {
        let mut problems = Problems::default();
        let read = cloud_settings::read(&self.file, false, |reader| self.read_from(reader), &mut problems);
        let (azure, missing) = read.map(|document| (document.cloud, document.missing)).unwrap_or_default();
        for problem in missing {
            problems.push(problem);
        }
        problems.into_result(azure).map_err(Problems::into_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::arm::credentials::CredentialKind;

    #[test]
    fn a_file_is_read_again_with_the_variables_of_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("azure.json");
        let environment = vec![("AZURE_TENANT_ID".to_owned(), "from-variable".to_owned())];
        let named = CloudFile { path: path.clone(), named_by: "cloud settings".to_owned() };
        let file = CloudSource::new(named, Variables::new(environment), CredentialSelection::Auto);
        assert!(file.read().is_err(), "it is not there");
        for secret in ["one", "two"] {
            let text = format!(r#"{{"subscriptionId":"s","aadClientId":"c","aadClientSecret":"{secret}"}}"#);
            std::fs::write(&path, text).unwrap();
            let CredentialKind::ClientSecret { tenant_id, secret: read, .. } = file.read().unwrap().credential else {
                panic!("no secret")
            };
            assert_eq!((tenant_id.as_str(), read.reveal()), ("from-variable", secret));
        }
        std::fs::write(&path, r#"{"subscriptionId":"s","aadClientSecret":"geheim"}"#).unwrap();
        let problems = format!("{:?} {:?}", file.read().unwrap_err(), file);
        assert!(problems.contains("aadClientId") && !problems.contains("geheim"), "{problems}");
    }
}
