//! The driver that the demo calls: served as `serve` does on a private socket, over a simulated world that the demo can
//! inspect.
//!
//! The walk talks to the driver by gRPC alone; what it needs to know beyond that (what Azure would bill,
//! what is still mounted) it asks the simulated world here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::calls::Calls;
use super::options::DemoOptions;
use super::screen::Screen;
use crate::app::command_error::CommandError;
use crate::app::server::{self, Bound, ServerError};
use crate::app::settings::{self, RawSettings, Settings};
use crate::app::wiring;
use crate::app::wiring::simulation::Simulation;

/// How long the server may take to end; nothing is in progress by then.
const DRAIN: Duration = Duration::from_secs(5);

/// A served driver and the world behind it.
#[derive(Debug)]
pub(super) struct SimulatedDriver {
    /// A connection to the driver.
    pub calls: Calls,
    /// Where it listens.
    pub socket: PathBuf,
    /// Simulated seconds per second.
    pub speed: f64,
    simulation: Simulation,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServerError>>,
}

impl SimulatedDriver {
    /// Begins a world and serves the driver over it.
    pub(super) async fn set(options: &DemoOptions) -> Result<Self, CommandError> {
        let folder = tempfile::Builder::new().prefix("azurelustre-demo-").tempdir();
        let folder =
            folder.map_err(|error| CommandError::failed(format!("cannot make a temporary directory: {error}")))?;
        let socket = folder.path().join("csi.sock");
        let settings = settings(options, folder.path(), &socket)?;
        let simulation = Simulation::begin(&settings)?;
        let wired = wiring::assemble(&settings, simulation.adapters());
        let bound = Bound::bind(&settings.values.endpoint).await.map_err(CommandError::failure)?;
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            let ended = server::serve(bound, wired.routes, wired.calls, stopped, DRAIN).await;
            drop(wired.guards);
            ended
        });
        let calls = Calls::connect(&socket).await?;
        Ok(Self { calls, socket, speed: settings.values.simulator_speed, simulation, folder, stop, served })
    }

    /// Where a pod's volume is mounted. The parent is made here, as kubelet makes it before it calls a driver.
    pub(super) fn target(&self, pod: &str) -> Result<PathBuf, CommandError> {
        let parent = self.folder.path().join("pods").join(pod);
        std::fs::create_dir_all(&parent)
            .map_err(|error| CommandError::failed(format!("cannot make {}: {error}", parent.display())))?;
        Ok(parent.join("mount"))
    }

    /// The file systems in the simulated Azure, a line each.
    pub(super) fn filesystems(&self) -> Vec<String> {
        let line = |(id, found): (_, crate::domain::filesystem::Filesystem)| {
            let (sku, state) = (found.sku_name.unwrap_or_default(), found.state.as_str().to_owned());
            format!("AMLFS {id}: {state}, {sku}, MGS {}", found.mgs_address.as_str())
        };
        self.simulation.simulator.cloud().filesystems().into_iter().map(line).collect()
    }

    /// State of the file system that is being made or deleted.
    pub(super) fn state(&self) -> Option<String> {
        let filesystems = self.simulation.simulator.cloud().filesystems();
        filesystems.first().map(|(_, found)| found.state.as_str().to_owned())
    }

    /// Whether the driver had any file system made.
    pub(super) fn made_any(&self) -> bool {
        !self.simulation.simulator.cloud().accepted_creations().is_empty()
    }

    /// Time in the simulated world.
    pub(super) fn simulated_now(&self) -> Duration {
        self.simulation.clock.now()
    }

    /// How long a creation takes there.
    pub(super) fn create_time(&self) -> Duration {
        self.simulation.simulator.cloud().world(|world| Duration::from_secs(world.create_seconds))
    }

    /// How long a deletion takes there.
    pub(super) fn delete_time(&self) -> Duration {
        self.simulation.simulator.cloud().world(|world| Duration::from_secs(world.delete_seconds))
    }

    /// Says how to call the server while it is kept running.
    pub(super) fn show_calls(&self, screen: &Screen) {
        let socket = self.socket.display();
        screen.title("The server keeps running; end it with Ctrl-C.");
        Screen::line(&format!("  socket: {socket}"));
        Screen::line("  example calls (grpcurl, from the root of the project):");
        for (method, request) in EXAMPLES {
            Screen::line(&format!(
                "    grpcurl -plaintext -unix -authority localhost -import-path proto -proto csi.proto -d '{request}' {socket} csi.v1.{method}"
            ));
        }
    }

    /// Ends the server and the world, and checks that nothing is left of either.
    pub(super) async fn clear(self) -> Result<(), CommandError> {
        let Self { calls, socket, simulation, folder, stop, served, .. } = self;
        drop(calls);
        // The server that ended by itself needs no telling.
        let _ = stop.send(());
        let ended = served.await.map_err(|error| CommandError::failed(format!("the server: {error}")))?;
        ended.map_err(CommandError::failure)?;
        drop(simulation);
        if socket.symlink_metadata().is_ok() {
            return Err(CommandError::failed(format!("the server left its socket {}", socket.display())));
        }
        let mounts = mounts_below(folder.path());
        let path = folder.path().display().to_string();
        if mounts > 0 {
            return Err(CommandError::failed(format!("{mounts} mounts are left below {path}")));
        }
        folder.close().map_err(|error| CommandError::failed(format!("{path} cannot be removed: {error}")))
    }
}

/// Methods to try, each with a request.
const EXAMPLES: [(&str, &str); 3] = [
    ("Identity/GetPluginInfo", "{}"),
    (
        "Controller/CreateVolume",
        r#"{"name":"pvc-1","volume_capabilities":[{"mount":{},"access_mode":{"mode":"MULTI_NODE_MULTI_WRITER"}}],"parameters":{"mgs-ip-address":"10.0.0.4"}}"#,
    ),
    ("Node/NodeGetInfo", "{}"),
];

fn settings(options: &DemoOptions, folder: &Path, socket: &Path) -> Result<Settings, CommandError> {
    let mut flags = vec![
        ("mode", "all".to_owned()),
        ("nodeid", "demo-node".to_owned()),
        ("cloud", "simulator".to_owned()),
        ("mounter", "simulator".to_owned()),
        ("endpoint", format!("unix://{}", socket.display())),
        ("working-mount-dir", folder.display().to_string()),
    ];
    flags.extend(options.simulator_speed.map(|speed| ("simulator-speed", speed.to_string())));
    flags.extend(options.simulator_world.as_ref().map(|world| ("simulator-world", world.display().to_string())));
    let given = RawSettings { flags, environment: Vec::new() };
    settings::load(&given).map_err(CommandError::from)
}

fn mounts_below(folder: &Path) -> usize {
    let folder = folder.display().to_string();
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(&folder))).count()
}
