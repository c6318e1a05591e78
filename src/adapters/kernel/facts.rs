//! What can be known of Lustre on this node by reading files: the module, the network, the connections.
//!
//! Why only files: no program need be installed on the node or in the image, nothing is asked of a server, and no file
//! system is touched, so that looking at a sick node cannot make it sicker. Which files there are depends on Lustre's
//! version, on the kernel and on the container; what cannot be read is unknown and said so.
//!
//! ```text
//!   files ──read──> module, lnet, imports, mounts ──judge──> readiness   the mounter's readiness and Probe
//!   (on a thread, limited in size and time)                  servers     how an unmount may go about it
//!                                                            report      `doctor node`
//! ```

mod aside;
pub mod imports;
pub mod lnet;
pub mod module;
pub mod mounts;
pub mod reach;
mod read;
pub mod readiness;
pub mod report;
pub mod servers;
pub(super) mod stuck;

use std::path::Path;
use std::time::Duration;

pub use self::read::{Fact, FactPaths};

use self::aside::{Aside, Ended};
use self::imports::{Device, Import, ImportState};
use self::mounts::LustreMount;
use self::reach::{Attempt, Reach};
use self::readiness::{Assessment, NodeState};
use self::servers::ServerState;
use crate::domain::mount_source::{MountSource, Nid};

/// How long one look may take before the answer goes without it.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(2);

/// Looks at the files of one node. Each look takes at most [`NodeFacts::limit`]; a read that blocks longer is left behind
/// on its thread, of which there are never more than a few. Needs a tokio runtime with a timer.
#[derive(Debug)]
pub struct NodeFacts {
    paths: FactPaths,
    limit: Duration,
    files: Aside,
    /// Apart from the other files: only these are known to block.
    connections: Aside,
    network: Aside,
}

impl Default for NodeFacts {
    fn default() -> Self {
        Self::new(FactPaths::default(), DEFAULT_LIMIT)
    }
}

impl NodeFacts {
    /// Looks below `paths`, for at most `limit` each time.
    pub fn new(paths: FactPaths, limit: Duration) -> Self {
        Self { paths, limit, files: Aside::default(), connections: Aside::default(), network: Aside::default() }
    }

    /// The longest that one look takes.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The module, its health and the network. A look that does not end in time knows nothing.
    pub async fn state(&self) -> NodeState {
        let paths = self.paths.clone();
        let look = move || NodeState { client: module::read(&paths), nids: lnet::read(&paths) };
        self.files.one(self.limit, look).await.unwrap_or_else(|why| NodeState {
            client: module::Client {
                loaded: Fact::Unknown(why.clone()),
                version: None,
                health: Fact::Unknown(why.clone()),
            },
            nids: Fact::Unknown(why),
        })
    }

    /// Whether this node can mount Lustre, and what is missing if not.
    pub async fn assess(&self) -> Assessment {
        self.state().await.assess()
    }

    /// Whether the servers of a mounted file system answer. `mounted` holds the sources of all Lustre mounts of this node,
    /// from its mountinfo. Asks the kernel only, never a server.
    pub async fn servers(&self, source: &MountSource, mounted: &[MountSource]) -> ServerState {
        let wanted = source.clone();
        let imports = self.look(move |device| servers::may_belong(device, &wanted)).await;
        match imports {
            Ok(imports) => servers::judge(source, mounted, &imports),
            Err(why) => ServerState::Unknown(why),
        }
    }

    /// The state of every connection.
    pub async fn imports(&self) -> Fact<Vec<Import>> {
        self.look(|_| true).await.map_or_else(Fact::Unknown, Fact::Known)
    }

    /// Threads of a running driver that hang in the kernel, a line each; nothing where its processes cannot be seen.
    pub async fn stuck(&self) -> Vec<String> {
        let paths = self.paths.clone();
        self.files.one(self.limit, move || stuck::read(&paths)).await.unwrap_or_default()
    }

    /// The Lustre mounts of this node that a mountinfo file lists: `/proc/self/mountinfo`, or the host's where a container
    /// sees it. Touches none of them.
    pub async fn mounts(&self, mountinfo: &Path) -> Fact<Vec<LustreMount>> {
        let (paths, mountinfo) = (self.paths.clone(), mountinfo.to_owned());
        self.files.one(self.limit, move || mounts::read(&paths, &mountinfo)).await.unwrap_or_else(Fact::Unknown)
    }

    /// Whether servers can be reached, each address by a connection of its own. Takes longer than [`NodeFacts::limit`]:
    /// up to twice the attempt's limit, and more for more than 32 addresses.
    pub async fn reach(&self, nids: Vec<Nid>, attempt: Attempt) -> Vec<(Nid, Reach)> {
        reach::all(&self.network, nids, attempt).await
    }

    /// The connections of the devices that are wanted. One that blocks is unknown, and so are those after it.
    async fn look(&self, wanted: impl Fn(&Device) -> bool + Send + 'static) -> Result<Vec<Import>, String> {
        let paths = self.paths.clone();
        let (told, ended) = self
            .connections
            .collect(self.limit, move |teller| {
                let devices: Vec<Device> = imports::devices(&paths).into_iter().filter(wanted).collect();
                if !teller.tell(Told::Listed(devices.clone())) {
                    return;
                }
                for device in devices {
                    if !teller.tell(Told::Read(imports::read(&paths, device))) {
                        return;
                    }
                }
            })
            .await;
        complete(told, &ended)
    }
}

/// What a look at the connections tells, bit by bit.
#[derive(Debug)]
enum Told {
    Listed(Vec<Device>),
    Read(Import),
}

/// All devices that were listed, those that were not read in time as unknown.
fn complete(told: Vec<Told>, ended: &Ended) -> Result<Vec<Import>, String> {
    let why = match ended {
        Ended::Whole => "the thread that looked died",
        Ended::Early(why) => why,
    };
    let mut told = told.into_iter();
    let Some(Told::Listed(devices)) = told.next() else { return Err(why.to_owned()) };
    let mut imports: Vec<Import> = told
        .filter_map(|told| match told {
            Told::Read(import) => Some(import),
            Told::Listed(_) => None,
        })
        .collect();
    let unread = devices.into_iter().skip(imports.len()).map(|device| Import {
        device,
        state: ImportState::Unknown(why.to_owned()),
        nids: Vec::new(),
    });
    imports.extend(unread);
    Ok(imports)
}

#[cfg(test)]
mod tests;
