//! From layers to [`Settings`]: every value checked, every problem noted under its source.

use std::path::PathBuf;

use super::cloud::CloudFile;
use super::keys::{
    AUTH, CLOUD, CLOUD_CONFIG, DRIVER_NAME, ENDPOINT, FS_TYPE, KUBELET_DIR, LOG_FORMAT, LOG_LEVEL,
    MDC_MAX_MOD_RPCS_IN_FLIGHT, MDC_MAX_RPCS_IN_FLIGHT, MODE, MOUNT_TIMEOUT, MOUNTER, MOUNTS_PER_MGS, NODE_ID,
    OSC_MAX_DIRTY_MB, OSC_MAX_RPCS_IN_FLIGHT, REMOVE_TAINT, SIMULATOR_SPEED, SIMULATOR_WORLD, STAT_TIMEOUT,
    SUB_DIR_MODE, UNKNOWN_ATTRIBUTES, UNMOUNT_TIMEOUT, WORKING_MOUNT_DIR,
};
use super::layers::{Layers, scalar};
use super::values::{self, Services};
use super::{CloudKind, CloudSettings, Endpoint, Given, KernelChoice, Mode, Settings, SimulatorSettings, cloud};
use crate::app::problem::{Problem, Problems};
use crate::app::telemetry::{LogFilter, LogSettings};
use crate::domain::client_tuning::{ClientTuning, Tunable};

/// The settings of client tuning.
const TUNABLES: [(&str, Tunable); 4] = [
    (OSC_MAX_RPCS_IN_FLIGHT, Tunable::OscMaxRpcsInFlight),
    (OSC_MAX_DIRTY_MB, Tunable::OscMaxDirtyMb),
    (MDC_MAX_RPCS_IN_FLIGHT, Tunable::MdcMaxRpcsInFlight),
    (MDC_MAX_MOD_RPCS_IN_FLIGHT, Tunable::MdcMaxModRpcsInFlight),
];

/// All settings, or `None` with at least one problem noted.
pub(super) fn settings(layers: &Layers, given: &Given, problems: &mut Problems) -> Option<Settings> {
    let mut reader = Reader { layers, problems };
    let services = reader.read(MODE, values::services);
    let mode = reader.mode(services);
    let cloud = reader.read(CLOUD, values::cloud);
    let mounter = reader.read(MOUNTER, values::mounter);
    let kernel = reader.kernel();
    let unknown_attributes = reader.read(UNKNOWN_ATTRIBUTES, values::unknown_attributes);
    let speed = reader.read(SIMULATOR_SPEED, values::speed);
    let world = reader.read(SIMULATOR_WORLD, values::existing_file);
    let endpoint = reader.read(ENDPOINT, Endpoint::parse);
    let driver_name = reader.read(DRIVER_NAME, values::driver_name);
    let working_mount_dir = reader.read(WORKING_MOUNT_DIR, values::absolute);
    let remove_not_ready_taint = reader.read(REMOVE_TAINT, values::go_bool);
    let format = reader.read(LOG_FORMAT, values::log_format);
    let filter = reader.read(LOG_LEVEL, LogFilter::parse);
    let cloud_settings = reader.cloud_settings(given, services, cloud);
    Some(Settings {
        mode: mode?,
        cloud: cloud?,
        mounter: mounter?,
        kernel: kernel?,
        unknown_attributes: unknown_attributes?,
        simulator: SimulatorSettings { speed: speed?, world },
        endpoint: endpoint?,
        driver_name: driver_name?,
        working_mount_dir: working_mount_dir?,
        remove_not_ready_taint: remove_not_ready_taint?,
        log: LogSettings { format: format?, filter: filter? },
        cloud_settings: cloud_settings?,
    })
}

struct Reader<'a> {
    layers: &'a Layers,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The value of a setting; `None` if nobody gave one, or with its problem noted.
    fn read<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, Problem>) -> Option<T> {
        let layer = self.layers.find(key)?;
        // Numbers and booleans lose their spelling in a file (`007`), so elsewhere they must be text.
        let loose = [SIMULATOR_SPEED, REMOVE_TAINT, MOUNTS_PER_MGS, MOUNT_TIMEOUT, UNMOUNT_TIMEOUT, STAT_TIMEOUT]
            .contains(&key)
            || TUNABLES.iter().any(|(tunable, _)| *tunable == key);
        let text = layer.value.as_str().map(str::to_owned).or_else(|| scalar(&layer.value).filter(|_| loose));
        let text = text.ok_or_else(|| Problem::new("not text").with_hint("put the value in quotes"));
        self.problems.note(text.and_then(|text| parse(&text)).map_err(|problem| problem.at(&layer.source)))
    }

    fn kernel(&mut self) -> Option<KernelChoice> {
        let (fs_type, kubelet_dir) = (self.read(FS_TYPE, values::fs_type), self.read(KUBELET_DIR, values::absolute));
        let sub_dir_mode = self.read(SUB_DIR_MODE, values::permissions);
        let mounts_per_mgs = self.read(MOUNTS_PER_MGS, values::small_number);
        let [mount, unmount, stat] =
            [MOUNT_TIMEOUT, UNMOUNT_TIMEOUT, STAT_TIMEOUT].map(|key| self.read(key, values::duration));
        let tuning = self.tuning();
        Some(KernelChoice {
            fs_type: fs_type?,
            kubelet_dir: kubelet_dir?,
            sub_dir_mode: sub_dir_mode?,
            mounts_per_mgs: mounts_per_mgs?,
            mount_timeout: mount?,
            unmount_timeout: unmount?,
            stat_timeout: stat?,
            tuning: tuning?,
        })
    }

    /// Each value is checked alone, then whether they fit together.
    fn tuning(&mut self) -> Option<ClientTuning> {
        let invalid =
            |message: String| Problem::new(message).with_hint("correct it, or leave the client its own value");
        let mut values = Vec::new();
        let mut valid = true;
        for (key, tunable) in TUNABLES {
            let given = self.layers.is_given(key);
            let value = self.read(key, |text| tunable.parse(text).map_err(invalid));
            valid &= value.is_some() || !given;
            values.extend(value.map(|value| (tunable, value)));
        }
        if !valid {
            return None;
        }
        let source = self.layers.find(MDC_MAX_MOD_RPCS_IN_FLIGHT).map(|layer| layer.source).unwrap_or_default();
        self.problems.note(ClientTuning::new(values).map_err(|message| invalid(message).at(&source)))
    }

    fn mode(&mut self, services: Option<Services>) -> Option<Mode> {
        match services? {
            Services::Controller => Some(Mode::Controller),
            Services::Node => self.node_id().map(|node_id| Mode::Node { node_id }),
            // The Go driver's controller is started with neither.
            Services::All if !self.layers.is_given(MODE) && !self.has_node_id() => Some(Mode::ControllerByDefault),
            Services::All => self.node_id().map(|node_id| Mode::All { node_id }),
        }
    }

    fn has_node_id(&self) -> bool {
        self.layers.find(NODE_ID).is_some_and(|layer| layer.value.as_str() != Some(""))
    }

    fn node_id(&mut self) -> Option<String> {
        if !self.has_node_id() {
            let problem = Problem::new(format!("--{NODE_ID}: missing"));
            self.problems
                .push(problem.with_hint("give the node's name in Kubernetes; only `--mode controller` does without"));
            return None;
        }
        self.read(NODE_ID, values::node_id)
    }

    fn cloud_settings(
        &mut self,
        given: &Given,
        services: Option<Services>,
        kind: Option<CloudKind>,
    ) -> Option<CloudSettings> {
        let auth = self.read(AUTH, values::auth);
        // The node asks nothing of the cloud, and the simulated one must not be confused by the real one's file.
        let on_azure = services.is_some_and(|services| services != Services::Node) && kind == Some(CloudKind::Arm);
        let azure = auth.filter(|_| on_azure).map(|auth| (given, auth));
        let file = match self.layers.find(CLOUD_CONFIG).map(|layer| layer.source) {
            Some(named_by) => CloudFile { path: self.read(CLOUD_CONFIG, |text| Ok(PathBuf::from(text)))?, named_by },
            None if !on_azure => return Some(CloudSettings::default()),
            None => given.azure_config_file().map_or_else(CloudFile::usual, |(variable, path)| CloudFile {
                path: path.into(),
                named_by: variable.to_owned(),
            }),
        };
        // A simulation that somebody described by a file is not to run without it.
        let needed = kind == Some(CloudKind::Simulator);
        cloud::read(&file, needed, azure, self.problems)
    }
}
