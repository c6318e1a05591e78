//! Azure environments: the endpoints of each cloud (ARM, the authority that issues tokens, the audience of the tokens).
//!
//! Public, China and US Government Azure are separate clouds with their own hosts; an Azure Stack has its own in every
//! installation and serves the list of them itself. Names, hosts and the keys of the file are those of the Azure SDK for Go:
//! <https://github.com/Azure/go-autorest/blob/main/autorest/azure/environments.go>.

use serde_json::Value;
use url::Url;

use super::error::{ArmError, ErrorResponse, response};
use super::http::stack::HttpStack;
use super::http::{Method, Request, StatusCode, is_loopback};
use crate::domain::text::{nearest, quote};

/// The endpoints of one cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEndpoints {
    /// Azure Resource Manager.
    pub arm: Url,
    /// Microsoft Entra, without a tenant.
    pub authority: Url,
    /// Audience of the tokens.
    pub audience: String,
}

impl CloudEndpoints {
    /// Scope of the tokens: the audience without trailing slash and `/.default`.
    pub fn scope(&self) -> String {
        format!("{}/.default", self.audience.trim_end_matches('/'))
    }
}

/// Where the endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// A cloud of the table, or one whose endpoints are all set.
    Known(CloudEndpoints),
    /// An Azure Stack whose resource manager at this URL serves the list of its endpoints.
    Discovered(Url),
}

/// Name, other name, ARM, authority, audience.
const CLOUDS: [[&str; 5]; 3] = [
    [
        "AzurePublicCloud",
        "AzureCloud",
        "https://management.azure.com/",
        "https://login.microsoftonline.com/",
        "https://management.core.windows.net/",
    ],
    [
        "AzureUSGovernmentCloud",
        "AzureUSGovernment",
        "https://management.usgovcloudapi.net/",
        "https://login.microsoftonline.us/",
        "https://management.core.usgovcloudapi.net",
    ],
    [
        "AzureChinaCloud",
        "AzureChina",
        "https://management.chinacloudapi.cn/",
        "https://login.chinacloudapi.cn/",
        "https://management.core.chinacloudapi.cn",
    ],
];

/// The cloud whose endpoints differ in every installation.
const AZURE_STACK: &str = "AzureStackCloud";

/// The settings that choose the cloud and its endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudSelection {
    /// Its name; absent and empty mean public Azure.
    pub name: Option<String>,
    /// `resourceManagerEndpoint`.
    pub resource_manager: Option<String>,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority_host: Option<String>,
    /// Text of the file that `AZURE_ENVIRONMENT_FILEPATH` names; only for `AzureStackCloud`.
    pub environment_file: Option<String>,
}

impl CloudSelection {
    /// The environment that they name. Fails with the broken rule.
    pub fn environment(&self) -> Result<Environment, String> {
        let given =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let name = given(&self.name).unwrap_or_else(|| CLOUDS[0][0].to_owned());
        let resource_manager = given(&self.resource_manager).map(|text| endpoint(&text)).transpose()?;
        let authority = given(&self.authority_host).map(|text| endpoint(&text)).transpose()?;
        let mut known = match CLOUDS.iter().find(|[first, other, ..]| is(&name, first) || is(&name, other)) {
            Some([_, _, arm, authority, audience]) => CloudEndpoints {
                arm: endpoint(arm)?,
                authority: endpoint(authority)?,
                audience: (*audience).to_owned(),
            },
            None if is(&name, AZURE_STACK) => match (given(&self.environment_file), &resource_manager) {
                (Some(file), _) => from_file(&file)?,
                (None, Some(endpoint)) => return Ok(Environment::Discovered(endpoint.clone())),
                (None, None) => {
                    return Err(format!("{AZURE_STACK} needs resourceManagerEndpoint or AZURE_ENVIRONMENT_FILEPATH"));
                }
            },
            None => return Err(unknown(&name)),
        };
        known.arm = resource_manager.unwrap_or(known.arm);
        known.authority = authority.unwrap_or(known.authority);
        Ok(Environment::Known(known))
    }
}

fn is(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

fn unknown(name: &str) -> String {
    let all = CLOUDS.iter().flat_map(|cloud| cloud.iter().take(2).copied()).chain([AZURE_STACK]);
    let near = nearest(name, all.clone()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("{} is not an Azure cloud; known: {}{near}", quote(name), all.collect::<Vec<_>>().join(", "))
}

/// A URL that tokens may be sent to: https, or plain http to a loopback address.
pub fn endpoint(text: &str) -> Result<Url, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&with_scheme).map_err(|error| {
        // What cannot be parsed may be a password.
        if text.contains('@') { PASSWORD.to_owned() } else { format!("{} is not a URL ({error})", quote(text)) }
    })?;
    match url.scheme() {
        _ if !url.has_host() => Err(format!("{} names no host", quote(text))),
        _ if !url.username().is_empty() || url.password().is_some() => Err(PASSWORD.to_owned()),
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(format!("{} is not https; tokens go there", quote(text))),
    }
}

const PASSWORD: &str = "an address must not hold a user name or a password";

/// The file of an Azure Stack: JSON with the keys of the Azure SDK for Go.
fn from_file(text: &str) -> Result<CloudEndpoints, String> {
    let file: Value =
        serde_json::from_str(text).map_err(|_| "the file of AZURE_ENVIRONMENT_FILEPATH is not JSON".to_owned())?;
    let value = |key: &str| {
        let value = file.get(key).and_then(Value::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("the file of AZURE_ENVIRONMENT_FILEPATH has no {key}"))
    };
    let arm = endpoint(value("resourceManagerEndpoint")?)?;
    let audience = value("serviceManagementEndpoint").or_else(|_| value("tokenAudience"))?.to_owned();
    Ok(CloudEndpoints { arm, authority: endpoint(value("activeDirectoryEndpoint")?)?, audience })
}

/// Reads the endpoints of an Azure Stack (`GET /metadata/endpoints`).
/// <https://learn.microsoft.com/azure-stack/user/azure-stack-version-profiles-ruby>
pub async fn discover(http: &HttpStack, resource_manager: &Url) -> Result<CloudEndpoints, ArmError> {
    let mut url = resource_manager.clone();
    url.set_path("/metadata/endpoints");
    url.set_query(Some("api-version=2019-05-01"));
    let request = Request { size_limit: 1 << 20, ..Request::new(Method::GET, url) };
    let response = http.send(request).await?;
    if response.status != StatusCode::OK {
        return Err(ArmError::Response(Box::new(ErrorResponse::read(&response))));
    }
    let error = |message| ArmError::Unreadable { message, from_arm: response::is_from_arm(&response) };
    let unreadable = || error(response::beginning(&response.body));
    let metadata: Value = serde_json::from_slice(&response.body).map_err(|_| unreadable())?;
    // Newer versions return a list of clouds.
    let cloud = metadata.as_array().and_then(|clouds| clouds.first()).unwrap_or(&metadata);
    let text = |pointer: &str| cloud.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let authority = text("/authentication/loginEndpoint").ok_or_else(unreadable)?;
    let audience = text("/authentication/audiences/0").ok_or_else(unreadable)?;
    let authority = endpoint(authority).map_err(error)?;
    Ok(CloudEndpoints { arm: resource_manager.clone(), authority, audience: audience.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(name: &str, resource_manager: Option<&str>) -> CloudSelection {
        CloudSelection {
            name: Some(name.to_owned()),
            resource_manager: resource_manager.map(str::to_owned),
            ..CloudSelection::default()
        }
    }

    fn known(selection: &CloudSelection) -> CloudEndpoints {
        match selection.environment() {
            Ok(Environment::Known(endpoints)) => endpoints,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clouds_are_known_by_name_without_case() {
        let public = known(&CloudSelection::default());
        assert_eq!(public.arm.as_str(), "https://management.azure.com/");
        assert_eq!(public.scope(), "https://management.core.windows.net/.default");
        assert_eq!(known(&selection("azurepubliccloud", None)), public);
        assert_eq!(known(&selection("AZURECHINACLOUD", None)).arm.as_str(), "https://management.chinacloudapi.cn/");
        assert_eq!(known(&selection(" ", None)), public);
        let government = known(&selection("AZUREUSGOVERNMENT", None));
        assert_eq!(government.authority.as_str(), "https://login.microsoftonline.us/");
        assert_eq!(
            known(&selection("AzureChinaCloud", None)).scope(),
            "https://management.core.chinacloudapi.cn/.default"
        );
        let error = selection("AzurePublic", None).environment().unwrap_err();
        assert!(error.contains("did you mean AzurePublicCloud?"), "{error}");
    }

    #[test]
    fn a_named_cloud_takes_a_custom_endpoint_as_it_is() {
        let custom = CloudSelection {
            authority_host: Some("https://login.test/".to_owned()),
            ..selection("AzureCloud", Some("https://arm.test"))
        };
        let endpoints = known(&custom);
        assert_eq!(
            (endpoints.arm.as_str(), endpoints.authority.as_str()),
            ("https://arm.test/", "https://login.test/")
        );
    }

    #[test]
    fn an_azure_stack_is_discovered_or_read_from_its_file() {
        let discovered = selection("azurestackcloud", Some("https://management.stack.test")).environment().unwrap();
        assert_eq!(discovered, Environment::Discovered(Url::parse("https://management.stack.test").unwrap()));
        assert!(selection("AzureStackCloud", None).environment().is_err());
        let file = r#"{"name":"x","resourceManagerEndpoint":"https://rm.test/","activeDirectoryEndpoint":"https://adfs.test/adfs",
            "serviceManagementEndpoint":"https://aud.test/x"}"#;
        let from_file =
            CloudSelection { environment_file: Some(file.to_owned()), ..selection("AzureStackCloud", None) };
        assert_eq!(known(&from_file).scope(), "https://aud.test/x/.default");
    }

    #[test]
    fn tokens_go_over_https_or_nowhere() {
        for good in ["https://x.test", "http://127.0.0.1:8080", "http://localhost/", "http://[::1]:1", "x.test"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["http://x.test", "ftp://localhost", "https://", "https://a:b@x.test", "http://127.0.0.1.test"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
        for bad in ["https://a:geheim@x.test", "https://a:geheim@x.test:port", "http://a:geheim@ x", "a:geheim@x"] {
            let error = endpoint(bad).unwrap_err();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
