//! Driving ports that follow a script and remember what they were asked.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::mount::PublishRequest;
use azurelustre_csi::domain::provisioning::{Volume, VolumeRequest};
use azurelustre_csi::domain::volume_id::VolumeId;
use azurelustre_csi::ports::inbound::{
    Caller, Failure, FailureKind, Provisioning, Publishing, ReadinessProbe, ValidateRequest,
};
use azurelustre_csi::ports::mounter::{Capacity, Usage};
use tokio::sync::{Notify, mpsc};

/// The id of the volume that a scripted creation makes.
pub const VOLUME_ID: &str = "vol#lustrefs#10.0.0.4##f#";

/// What every scripted method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Succeeds. `validate` finds the capabilities supported.
    Succeed,
    /// Succeeds, but is not ready and finds no capability supported.
    Decline,
    /// Fails in this way.
    Fail(FailureKind),
    /// Panics at once, or after it has waited once.
    Panic { waits: bool },
    /// Waits until it is let go, then succeeds.
    Hang,
}

/// A call that arrived, with the time that its caller gave it.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Create(VolumeRequest, Option<Duration>),
    Delete(String, Option<Duration>),
    Validate(ValidateRequest, Option<Duration>),
    Publish(PublishRequest, Option<Duration>),
    Unpublish(String, PathBuf, Option<Duration>),
    Usage(String, PathBuf, Option<Duration>),
}

/// How a call that hung came to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Finished(&'static str),
    Dropped(&'static str),
}

/// The ports.
#[derive(Debug)]
pub struct Scripted {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    let_go: Notify,
    caller: Mutex<Option<Caller>>,
    begun: (mpsc::UnboundedSender<()>, tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>),
    ends: (mpsc::UnboundedSender<End>, tokio::sync::Mutex<mpsc::UnboundedReceiver<End>>),
}

/// Reports how a hanging call ends, whichever way that is.
struct Witness<'a> {
    method: &'static str,
    finished: bool,
    ends: &'a mpsc::UnboundedSender<End>,
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        let end = if self.finished { End::Finished(self.method) } else { End::Dropped(self.method) };
        let _ = self.ends.send(end);
    }
}

impl Scripted {
    pub fn new(script: Script) -> Self {
        let (begun, ends) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        Self {
            script: Mutex::new(script),
            seen: Mutex::default(),
            let_go: Notify::new(),
            caller: Mutex::default(),
            begun: (begun.0, begun.1.into()),
            ends: (ends.0, ends.1.into()),
        }
    }

    /// Gives all later calls another script.
    pub fn follow(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// The calls since this was last asked.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Waits until one more call hangs.
    pub async fn begun(&self) {
        self.begun.1.lock().await.recv().await.unwrap();
    }

    /// The caller of the last creation or deletion.
    pub fn caller(&self) -> Caller {
        self.caller.lock().unwrap().clone().unwrap()
    }

    /// Lets one hanging call go on.
    pub fn let_go(&self) {
        self.let_go.notify_one();
    }

    /// Waits until one more hanging call has ended.
    pub async fn ended(&self) -> End {
        self.ends.1.lock().await.recv().await.unwrap()
    }

    /// Plays the script; whether to agree.
    async fn play(&self, method: &'static str, seen: Option<Seen>) -> Result<bool, Failure> {
        self.seen.lock().unwrap().extend(seen);
        let script = *self.script.lock().unwrap();
        match script {
            Script::Succeed | Script::Decline => {}
            Script::Fail(kind) => return Err(Failure::new(kind, format!("{method} failed")).with_hint("a cure")),
            Script::Panic { waits } => {
                if waits {
                    tokio::task::yield_now().await;
                }
                panic!("{method}: inner detail of a panic")
            }
            Script::Hang => {
                let mut witness = Witness { method, finished: false, ends: &self.ends.0 };
                self.begun.0.send(()).unwrap();
                self.let_go.notified().await;
                witness.finished = true;
            }
        }
        Ok(script != Script::Decline)
    }
}

#[async_trait]
impl Provisioning for Scripted {
    async fn create(&self, request: VolumeRequest, caller: Caller) -> Result<Volume, Failure> {
        let context = request.parameters.clone();
        *self.caller.lock().unwrap() = Some(caller.clone());
        self.play("create", Some(Seen::Create(request, caller.timeout))).await?;
        Ok(Volume { id: VolumeId::parse(VOLUME_ID).unwrap(), capacity: Tib(4).bytes(), context })
    }

    async fn delete(&self, volume_id: &str, caller: Caller) -> Result<(), Failure> {
        *self.caller.lock().unwrap() = Some(caller.clone());
        self.play("delete", Some(Seen::Delete(volume_id.to_owned(), caller.timeout))).await.map(drop)
    }

    async fn validate(&self, question: ValidateRequest, timeout: Option<Duration>) -> Result<Option<String>, Failure> {
        let seen = Seen::Validate(question, timeout);
        let agrees = self.play("validate", Some(seen)).await?;
        Ok((!agrees).then(|| "no block devices here".to_owned()))
    }
}

#[async_trait]
impl Publishing for Scripted {
    async fn publish(&self, request: PublishRequest, timeout: Option<Duration>) -> Result<(), Failure> {
        self.play("publish", Some(Seen::Publish(request, timeout))).await.map(drop)
    }

    async fn unpublish(&self, volume_id: &str, target: &Path, timeout: Option<Duration>) -> Result<(), Failure> {
        let seen = Seen::Unpublish(volume_id.to_owned(), target.to_owned(), timeout);
        self.play("unpublish", Some(seen)).await.map(drop)
    }

    async fn usage(&self, volume_id: &str, path: &Path, timeout: Option<Duration>) -> Result<Usage, Failure> {
        self.play("usage", Some(Seen::Usage(volume_id.to_owned(), path.to_owned(), timeout))).await?;
        let bytes = Capacity { total: u64::MAX, used: 5, available: 7 };
        Ok(Usage { bytes, inodes: Some(Capacity { total: 30, used: 10, available: 19 }) })
    }
}

#[async_trait]
impl ReadinessProbe for Scripted {
    async fn is_ready(&self) -> bool {
        self.play("is_ready", None).await.unwrap_or(false)
    }
}
