"""node-setup as the init container of the chart, on a node without Lustre: a stub host root, LNet of the simulator."""

import os

from gate import host_root, scenarios, takeover, world
from gate.world import NAMESPACE, NODE_PLUGIN, kubectl, pods, require, wait
from node.settings import programs


def install(root):
    """deploy/install-driver.sh with node-setup, and what it prints; nodes still mount tmpfs, and no pod is waited for."""
    settings = f"image.tag=ci-simulator,node.setup.lnet=simulated,node.setup.hostRoot={root.path}"
    return takeover.install_driver("--timeout", "1s", "--", "-f", world.GATE / "values.yaml", "--set", settings)


def newest():
    """The node's pod with node-setup, if it is there already."""
    found = [pod for pod in pods(NODE_PLUGIN) if pod["spec"].get("initContainers") and "deletionTimestamp" not in pod["metadata"]]
    return found[0] if len(found) == 1 else None


def setup_status():
    found = (newest() or {}).get("status", {}).get("initContainerStatuses", [])
    return found[0] if found else {}


def failure():
    """How node-setup ended last, if it failed."""
    status = setup_status()
    ended = status.get("lastState", {}).get("terminated") or status.get("state", {}).get("terminated") or {}
    return ended if ended.get("exitCode") else None


def ready_message():
    """How node-setup ended, when the pod's containers have started."""
    ended = setup_status()["state"]["terminated"]
    return ended["message"] if ended["exitCode"] == 0 else ""


READY = f"ready: Lustre client {host_root.CLIENT}, kernel {host_root.KERNEL}, LNet {host_root.ADDRESS}@tcp"


def judge_failure(root):
    """A package that is not published: the pod waits, and `kubectl describe` says why and what to do."""
    ended = wait("node-setup fails", failure, 90)
    require(ended["exitCode"] == 1, f"a package that is not there yet ended with {ended['exitCode']}")
    wait("node-setup is started again", lambda: setup_status().get("restartCount"), 90)
    described = kubectl("describe", "pod", "-n", NAMESPACE, newest()["metadata"]["name"])
    last = described[described.index("Last State:") :]
    for part in (host_root.KERNEL, host_root.CLIENT, "2.16.0-1-g0000000"):
        require(part in last, f"{part} is not under Last State:\n{described}")
    require(not scenarios.node_plugin_ready(), "the node's pod is ready without Lustre")
    report = install(root)
    require("driver ready on 0 nodes, not on 1" in report and host_root.CLIENT in report, "install-driver.sh names no reason")


def judge_success(root, before):
    """The modules were fetched, loaded in order and given an NID, and nothing else was written."""
    calls = root.calls()
    loaded = [call.split(" /dev/null ")[1].split()[0] for call in calls if call.startswith("modprobe ")]
    require(loaded == ["lnet", "ksocklnd", "lustre", "mgc", "mdc", "lmv", "lov", "osc"], f"loaded: {loaded}")
    require(any(f"download {host_root.PACKAGE}=1" in call for call in calls), f"not fetched: {calls}")
    require(any("networks=tcp(eth0)" in call for call in calls), f"LNet without its interface: {calls}")
    others = [name for name in root.written() - before if not name.startswith("var/lib/azurelustre-csi/")]
    require(not others, f"written outside of the private directory: {others}")
    require(ready_message().startswith(READY), f"node-setup ended with {setup_status()}")
    pod = newest()["metadata"]["name"]
    doctor = f"kubectl exec -n {NAMESPACE} {pod} -c azurelustre -- /azurelustre-csi doctor node || true"
    report = world.command("sh", "-c", doctor, env={**os.environ, "PATH": f"{programs()}:{os.environ['PATH']}"})
    require(READY in report, f"doctor node does not report node-setup:\n{report}")


def judge_again(root):
    """A node that is ready is left alone: no program of the host is run."""
    before = len(root.calls())
    kubectl("delete", "pod", "-n", NAMESPACE, newest()["metadata"]["name"], "--timeout=90s")
    wait("another pod is ready", scenarios.node_plugin_ready)
    require(root.calls()[before:] == [], f"run on a node that is ready: {root.calls()[before:]}")
    require(ready_message().startswith(READY), f"node-setup ended with {setup_status()}")


def judge():
    """A node without Lustre becomes ready, after a first try whose package is missing; a ready one stays so."""
    scenarios.settled()
    root = host_root.HostRoot()
    before = root.written()
    root.packages_are_published(False)
    install(root)
    judge_failure(root)
    root.packages_are_published(True)
    wait("the node's pod is ready", scenarios.node_plugin_ready, 180)
    judge_success(root, before)
    judge_again(root)
    scenarios.install()
