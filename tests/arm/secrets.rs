//! Nothing secret is shown: every log line of every library, at the lowest level that the driver's own filter lets through.

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

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that is logged while `work` runs on this thread.
fn logged(work: impl FnOnce()) -> String {
    let written = Written::default();
    let writer = written.clone();
    // What an operator could ask for at the loudest.
    let filter =
        LogFilter::parse("trace,azure_core=trace,reqwest=trace,hyper=trace,h2=trace,hyper_util=trace").unwrap();
    let settings = LogSettings { format: LogFormat::Text, filter };
    let subscriber = telemetry::subscriber(&settings, false, move || writer.clone());
    tracing::subscriber::with_default(subscriber, work);
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// A whole life of a file system over the real HTTP client, with a failing creation whose operation is asked.
#[test]
fn no_token_and_no_signature_is_logged() {
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
    let text = logged(|| {
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
        });
    });
    assert!(text.contains("asked ARM") && text.contains("/amlFilesystems/"), "nothing was logged: {text}");
    assert!(text.contains("request_id=\"fc25df65") && text.contains("duration_seconds="), "{text}");
    for secret in [TOKEN, "s=signature", "signature&h=hash"] {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} in the log");
    }
}

async fn spec_of(cloud: &dyn Cloud) -> azurelustre_csi::domain::filesystem::FilesystemSpec {
    use azurelustre_csi::adapters::simulator::World;
    use azurelustre_csi::domain::provisioning::Wish;
    let Wish::Dynamic(wish) = Wish::parse(&request(NAME), &World::default().defaults.to_domain()).unwrap() else {
        panic!("static")
    };
    let skus = cloud.skus(wish.location()).await.unwrap();
    wish.spec(skus.get(wish.sku_name()).unwrap()).unwrap()
}
