//! Nothing secret is shown: every log line of every library, by the driver's own subscriber and by an embedder's plain one.

use std::io::Write;
use std::sync::{Arc, Mutex};

use azurelustre_csi::adapters::arm::http::HttpWire;
use azurelustre_csi::app::telemetry::{self, LogFilter, LogFormat, LogSettings};
use azurelustre_csi::ports::cloud::Cloud;

use crate::fakes::arm::TOKEN;
use crate::fakes::arm::faults::adapter;
use crate::fakes::arm::server::serve;
use crate::stack::Stack;
use crate::world::{NAME, id, request};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that is logged while `work` runs on this thread, by the driver's own subscriber.
fn logged(work: impl FnOnce()) -> String {
    // What an operator could ask for at the loudest.
    let filter =
        LogFilter::parse("trace,azure_core=trace,reqwest=trace,hyper=trace,h2=trace,hyper_util=trace").unwrap();
    let settings = LogSettings { format: LogFormat::Text, filter };
    let written = Written::default();
    let writer = written.clone();
    tracing::subscriber::with_default(telemetry::subscriber(&settings, false, move || writer.clone()), work);
    written.text()
}

/// The same by the plain subscriber of somebody who embeds the adapter: every target, at TRACE.
fn logged_by_an_embedder(work: impl FnOnce()) -> String {
    let written = Written::default();
    let writer = written.clone();
    let plain = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    tracing::subscriber::with_default(plain.finish(), work);
    written.text()
}

/// A whole life of a file system over the real HTTP client, with a failing creation whose operation is asked.
#[test]
fn no_token_and_no_signature_is_logged() {
    let _listening = crate::story::LISTENING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for log in [logged as fn(fn()) -> String, |work| logged_by_an_embedder(work)] {
        let text = log(a_whole_life);
        assert!(text.contains("HTTP response") && text.contains("/amlFilesystems/"), "nothing was logged: {text}");
        assert!(text.contains("fc25df65") && text.contains("duration_seconds"), "{text}");
        for secret in [TOKEN, "s=signature", "signature&h=hash"] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in the log");
        }
    }
    assert!(logged_by_an_embedder(a_whole_life).contains("TRACE"), "the libraries below are heard too");
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
        let arm = adapter(Arc::new(HttpWire::new().unwrap()), &stub.endpoint, clock.clone());
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
