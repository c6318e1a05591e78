"""The configuration files of the cluster's programs."""

import json

from node.settings import PODS, cgroup, debian

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


def containerd(state):
    """containerd: no AppArmor, no raised OOM scores, CNI from the Debian package."""
    networks = state / "config" / "cni"
    networks.mkdir()
    bridge = {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
            }
        ],
    }
    (networks / "pods.conflist").write_text(json.dumps(bridge))
    (state / "config" / "containerd.toml").write_text(f"""\
version = 2
root = "{state}/containerd"
state = "/run/containerd"

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:ci"
disable_apparmor = true
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{debian()}/usr/lib/cni"
conf_dir = "{networks}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{debian()}/usr/sbin/runc"
SystemdCgroup = false
""")


def kubelet(state):
    """kubelet: pods below one cgroup of ours, nothing that a machine without systemd and spare disk would refuse."""
    pki, static_pods, plugins = state / "pki", state / "config" / "static-pods", state / "config" / "volume-plugins"
    static_pods.mkdir()
    plugins.mkdir()
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup()}",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "resolvConf": "",
        "tlsCertFile": f"{pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet.key",
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "volumePluginDir": str(plugins),
        "staticPodPath": str(static_pods),
        "volumeStatsAggPeriod": "10s",
        "maxPods": 200,
        # The gate makes dozens of pods at once; five a second is the default.
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "registryPullQPS": 0,
    }
    (state / "config" / "kubelet.json").write_text(json.dumps(config))


def audit(state):
    """An audit log of what service accounts ask; what a service account may do is judged by it."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
    }
    (state / "config" / "audit.json").write_text(json.dumps(policy))


def write(state):
    containerd(state)
    kubelet(state)
    audit(state)
