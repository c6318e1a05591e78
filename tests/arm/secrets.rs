//! No secret is logged: every log line of every library, by the driver's own subscriber and by tracing's own.

use std::sync::Arc;

use azurelustre_csi::adapters::arm::http::client::ReqwestClient;
use azurelustre_csi::app::telemetry::{self, LogFilter, LogFormat, LogSettings};
use azurelustre_csi::ports::cloud::Cloud;

use crate::fakes::arm::TOKEN;
use crate::fakes::arm::faults::adapter;
use crate::fakes::arm::server::serve;
use crate::fakes::log::LogBuffer;
use crate::stack::Stack;
use crate::world::{NAME, id, request};

/// What this thread logs during `work`, by the driver's own subscriber.
fn logged(work: impl FnOnce()) -> String {
    // What an operator could ask for at the loudest.
    let filter =
        LogFilter::parse("trace,azure_core=trace,reqwest=trace,hyper=trace,h2=trace,hyper_util=trace").unwrap();
    let settings = LogSettings { format: LogFormat::Text, filter };
    LogBuffer::of_process();
    let buffer = LogBuffer::default();
    tracing::subscriber::with_default(telemetry::subscriber(&settings, false, buffer.clone()), work);
    buffer.text()
}

/// A whole life of a file system over the real HTTP client, with a failing creation whose operation is asked.
#[test]
fn no_token_and_no_signature_is_logged() {
    let _listening = crate::creation_log::LISTENING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for log in [logged as fn(fn()) -> String, |work| LogBuffer::during(work)] {
        let text = log(a_whole_life);
        assert!(text.contains("HTTP response") && text.contains("/amlFilesystems/"), "nothing was logged: {text}");
        assert!(text.contains("fc25df65") && text.contains("duration_seconds"), "{text}");
        for secret in [TOKEN, "s=signature", "signature&h=hash"] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in the log");
        }
    }
    assert!(LogBuffer::during(a_whole_life).contains("TRACE"), "the libraries below log too");
}

fn a_whole_life() {
    let stack = Stack::new();
    let (cloud, clock) = (stack.azure.simulator.cloud(), stack.azure.clock.clone());
    cloud.edit_world(|world| {
        world.failing_creations = vec![azurelustre_csi::adapters::simulator::world::FailingCreation {
            times: 1,
            after_seconds: 0,
            code: "CreateTimeout".to_owned(),
            message: "said so".to_owned(),
        }];
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_server, stub) = serve(cloud.clone(), clock.clone()).await;
        let arm = adapter(Arc::new(ReqwestClient::new().unwrap()), &stub.endpoint, clock.clone());
        let spec = spec_of(&arm).await;
        arm.begin_create(&spec).await.unwrap();
        arm.observe(&spec.id).await.unwrap();
        arm.begin_delete(&spec.id).await.unwrap();
        arm.observe(&id("nobody")).await.unwrap();
        assert!(stub.counts().contains_key(&crate::fakes::arm::Kind::Operation), "{:?}", stub.counts());
        // What an embedder may print of it.
        let printed = format!("{arm:?} {arm:#?} {:?}", arm.connection().await.unwrap());
        assert!(!printed.contains(TOKEN), "{printed}");
    });
}

async fn spec_of(cloud: &dyn Cloud) -> azurelustre_csi::domain::filesystem::FilesystemSpec {
    use azurelustre_csi::adapters::simulator::World;
    use azurelustre_csi::domain::provisioning::ProvisionPlan;
    let ProvisionPlan::Dynamic(plan) =
        ProvisionPlan::parse(&request(NAME), &World::default().defaults.to_domain()).unwrap()
    else {
        panic!("static")
    };
    let skus = cloud.skus(&plan.desired().location).await.unwrap();
    plan.spec(skus.get(&plan.desired().sku_name).unwrap()).unwrap()
}
