"""The gate's scenarios that need nothing but an installed driver, in the order in which they run."""

import os
import re
import subprocess
import time

from gate import world
from gate.world import (
    CONTROLLER,
    NODE_PLUGIN,
    Programs,
    api,
    apply,
    bound,
    claim,
    filesystem,
    kubectl,
    leader,
    new_claim,
    new_pod,
    pods,
    ready,
    remove,
    require,
    running,
    sleep_until,
    stub,
    volume_mounts,
    wait,
)
from gate.watch import Watch
from node.settings import NODE, REPOSITORY, programs, state


def controllers_ready(count=2):
    found = [pod for pod in pods(CONTROLLER) if "deletionTimestamp" not in pod["metadata"]]
    return len(found) == count and all(map(ready, found)) and leader()


def node_plugin_ready():
    found = pods(NODE_PLUGIN)
    return len(found) == 1 and ready(found[0]) and "deletionTimestamp" not in found[0]["metadata"]


def settled(replicas=2):
    """All replicas and the node's pod are ready, and somebody leads."""
    wait("the controllers are ready and one leads", lambda: controllers_ready(replicas))
    wait("the node's pod is ready", node_plugin_ready)


def gone(names):
    """Claims and their volumes are gone."""

    def check():
        claims = world.items("/api/v1/namespaces/default/persistentvolumeclaims")
        volumes = world.items("/api/v1/persistentvolumes")
        left = [one["metadata"]["name"] for one in claims]
        left += [one["spec"].get("claimRef", {}).get("name") for one in volumes]
        return not set(left) & set(names)

    wait(f"the claims {names[0]} … and their volumes are gone", check)


def dry_run():
    """Every object of every value set, of the manifests and the examples, as the API server judges it."""
    folder = state() / "rendered"
    world.command(REPOSITORY / "scripts" / "chart", "render", folder)
    files = sorted(folder.rglob("*.yaml")) + sorted((REPOSITORY / "deploy" / "manifests").glob("*.yaml"))
    files += sorted((REPOSITORY / "deploy" / "examples").rglob("*.yaml"))
    files = [file for file in files if "apiVersion:" in file.read_text() and file.name != "kustomization.yaml"]
    namespaces = {name for file in files for name in re.findall(r"^ +namespace: (\S+)$", file.read_text(), re.M)}
    apply(*[{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(namespaces)])
    for file in files:
        kubectl("apply", "--dry-run=server", "--validate=strict", "-f", file)
    require(files, "nothing was checked")
    print(f"      {len(files)} files")


def end_to_end(data="pod"):
    """deploy/e2e/run.sh, as on any cluster. Of tmpfs every pod sees its own."""
    parameters = " ".join(f"{key}={value}" for key, value in world.storage_class("any")["parameters"].items())
    given = {
        "E2E_IMAGE": "localhost/busybox:ci",
        "E2E_DATA": data,
        "E2E_PARAMETERS": parameters,
        "E2E_READY": "60",
        "PATH": f"{programs()}:{os.environ['PATH']}",
    }
    done = subprocess.run(["sh", REPOSITORY / "deploy" / "e2e" / "run.sh"], env={**os.environ, **given})
    require(done.returncode == 0, f"deploy/e2e/run.sh ended with {done.returncode}")
    require(not volume_mounts(), f"mounts are left: {volume_mounts()}")
    stub.judge_none()


def staggered(prefix, count, pause, make):
    """Does something for a number of names, one after another, and returns the names."""
    names = [f"{prefix}-{number}" for number in range(count)]
    begun = time.monotonic()
    for number, name in enumerate(names):
        sleep_until(begun + number * pause)
        make(name)
    return names


def crash(what):
    """Kills the leader's driver, its provisioner or both, as SIGKILL does; the other replica lives."""
    pod = wait("somebody leads", leader)
    if what in ("driver", "both"):
        Programs.kill("azurelustre-csi", pod)
    if what in ("provisioner", "both"):
        Programs.kill("csi-provisioner", pod)


def crashes(what):
    """Kills in the middle of eight creations and then of eight deletions, each at another of its moments.

    Every creation must end with one file system that was created once, every deletion with none.
    """
    settled()
    stub.times(create=4, delete=4)
    names = staggered(f"crash-{what}", 8, 0.7, lambda name: apply(new_claim(name)))
    crash(what)
    wait("all claims are bound", lambda: all(map(bound, names)))
    filesystems = [filesystem(name) for name in names]
    stub.judge_one_each(filesystems)
    settled()
    staggered(f"crash-{what}", 8, 0.7, lambda name: kubectl("delete", "pvc", name, "--wait=false"))
    crash(what)
    gone(names)
    stub.judge_none()
    stub.times(create=2)


def crash_of_driver():
    """The driver's process of the leader is killed amid creations and deletions."""
    crashes("driver")


def crash_of_provisioner():
    """The provisioner of the leader is killed; the other replica takes over when the lease has run out."""
    crashes("provisioner")


def crash_of_both():
    """Both are killed at once."""
    crashes("both")


def deleted_while_creating():
    """Claims are deleted at several moments of their creation: no file system stays.

    Nobody is killed here: only the provisioner's memory knows of a deleted claim whose file system is being created.
    """
    settled()
    stub.times(create=4)
    names = staggered("short-lived", 6, 0.8, lambda name: apply(new_claim(name)))
    remove("pvc", *names)
    gone(names)
    stub.judge_none()
    stub.times(create=2)


def hand_over():
    """The leader is ended in order: another one leads within three seconds."""
    settled()
    old = leader()
    begun = time.monotonic()
    kubectl("delete", "pod", "-n", world.NAMESPACE, old, "--wait=false")
    new = wait("another one leads", lambda: leader() not in (None, old) and leader())
    took = time.monotonic() - begun
    print(f"      {old} -> {new}: {took:.1f} s")
    require(took <= 3, f"the lease was handed over after {took:.1f} s")
    settled()


def lines(pod):
    """How many lines the workload has written; waits where kubelet, which takes the question, is just starting."""
    found = []

    def ask():
        try:
            found.append(int(kubectl("exec", pod, "--", "sh", "-c", "cat /data/* | wc -l")))
        except world.Wrong as error:
            require("unable to upgrade connection" in str(error), str(error))
        return found

    return wait(f"{pod} can be asked", ask, 60)[0]


def writes_on(pod):
    """A workload that ran before runs on: the same container, and its volume takes data."""
    before = lines(pod)
    wait(f"{pod} writes on", lambda: lines(pod) > before, 30)
    found = api.get(f"/api/v1/namespaces/default/pods/{pod}")
    require(found["status"]["containerStatuses"][0]["restartCount"] == 0, f"{pod} was restarted")


def workload(name):
    """A claim with a pod that writes to it."""
    apply(new_claim(name), new_pod(name, name))
    wait(f"{name} runs", lambda: running(name))


def mounts_anew(name):
    """A volume can still be mounted and unmounted."""
    apply(new_pod(f"{name}-later", name))
    wait(f"{name}-later runs", lambda: running(f"{name}-later"))
    remove("pod", f"{name}-later")


def finish(name):
    remove("pod", name)
    remove("pvc", name)
    gone([name])
    require(not volume_mounts(), f"mounts are left: {volume_mounts()}")


def node_plugin():
    """The node's driver is killed, then its pod is replaced, while a volume is in use."""
    settled()
    workload("node-plugin")
    old = pods(NODE_PLUGIN)[0]["metadata"]
    Programs.kill("azurelustre-csi", old["name"])
    writes_on("node-plugin")
    wait("the node's pod is ready again", node_plugin_ready)
    kubectl("delete", "pod", "-n", world.NAMESPACE, old["name"], "--timeout=90s")
    wait("another pod is ready", lambda: node_plugin_ready() and pods(NODE_PLUGIN)[0]["metadata"]["uid"] != old["uid"])
    writes_on("node-plugin")
    mounts_anew("node-plugin")
    finish("node-plugin")


def kubelet():
    """kubelet is restarted while a volume is in use; the driver registers again."""
    settled()
    workload("kubelet")
    file = state() / "pids" / "kubelet"
    old = file.read_text()
    os.kill(int(old), 15)
    wait("kubelet was started again", lambda: file.read_text() != old)
    writes_on("kubelet")
    wait("the driver is registered", world.registered)
    mounts_anew("kubelet")
    finish("kubelet")


def crowd():
    """Thirty claims with a pod each, all at once."""
    settled()
    names = [f"crowd-{number}" for number in range(30)]
    begun = time.monotonic()
    apply(*[new_claim(name) for name in names], *[new_pod(name, name) for name in names])
    wait("all claims are bound", lambda: all(map(bound, names)), 180)
    print(f"      30 claims bound after {time.monotonic() - begun:.1f} s")
    wait("all pods run", lambda: all(map(running, names)), 240)
    print(f"      30 pods run after {time.monotonic() - begun:.1f} s")
    stub.judge_one_each([filesystem(name) for name in names])
    remove("pod", *names)
    remove("pvc", *names)
    gone(names)
    require(not volume_mounts(), f"mounts are left: {volume_mounts()}")
    stub.judge_none()


def images():
    """Images of the driver in all of its pods."""
    found = pods(NODE_PLUGIN) + pods(CONTROLLER)
    return {one["image"] for pod in found for one in pod["spec"]["containers"] if one["name"] == "azurelustre"}


def upgrade():
    """helm upgrade to another image while a volume is in use and one is being created.

    Until there is a release to upgrade from, the other image is the one with the simulator, which nothing here uses.
    """
    settled()
    workload("upgrade")
    stub.times(create=6)
    apply(new_claim("upgrade-creating"))
    install("--set", "image.tag=ci-simulator")
    wait("all pods have the new image", lambda: images() == {"localhost/azurelustre-csi:ci-simulator"}, 90)
    writes_on("upgrade")
    wait("the claim is bound", lambda: bound("upgrade-creating"))
    require("simulated" not in attributes("upgrade-creating"), "a volume of Azure is said to be simulated")
    stub.judge_one_each([filesystem("upgrade-creating")])
    stub.times(create=2)
    mounts_anew("upgrade")
    remove("pvc", "upgrade-creating")
    finish("upgrade")


def install(*flags, replicas=2):
    """Installs the chart, or upgrades it, and waits."""
    values = world.GATE / "values.yaml"
    world.helm("upgrade", "--install", world.RELEASE, world.CHART, "-n", world.NAMESPACE, "-f", values,
               "--wait", "--timeout", "180s", *flags)  # fmt: skip
    settled(replicas)


def fresh_installation():
    """On a node with both startup taints: they go once the driver is registered, and no other does."""
    keys = [f"{world.DRIVER}/agent-not-ready", "startup-taint.cluster-autoscaler.kubernetes.io/azurelustre-agent-not-ready"]
    kubectl("taint", "node", NODE, *[f"{key}=:NoSchedule" for key in keys], "example.com/other=:PreferNoSchedule")
    watches = [Watch("nodes", NODE), Watch("csinodes", NODE)]
    install()
    wait("the driver is registered", world.registered)
    wait("the startup taints are gone", lambda: not set(keys) & set(world.taints()), 90)
    judge_taints([found for watch in watches for _, found in watch.end()], set(keys))
    require("example.com/other" in world.taints(), "a taint that is not the driver's is gone")
    kubectl("taint", "node", NODE, "example.com/other-")
    apply(world.storage_class("gate"))


def judge_taints(objects, keys):
    """In the order in which the API server made the changes: registered first, taints second."""
    registered, removed = [], []
    for found in objects:
        version = int(found["metadata"]["resourceVersion"])
        if found["kind"] == "CSINode":
            names = [driver["name"] for driver in found["spec"].get("drivers") or []]
            registered += [version] if world.DRIVER in names else []
        elif found["kind"] == "Node":
            left = {taint["key"] for taint in found["spec"].get("taints", [])}
            removed += [version] if left & keys != keys else []
    require(registered and removed, f"not seen: registration {registered}, removal {removed}")
    require(min(registered) < min(removed), "a taint was removed before the driver was registered")


def attributes(name):
    """The volume attributes of a bound claim's volume."""
    volume = api.get(f"/api/v1/persistentvolumes/{claim(name)['spec']['volumeName']}")
    return volume["spec"]["csi"]["volumeAttributes"]


def simulator():
    """Without Azure: the cloud in the memory of the one controller, pods of the node share files, and volumes say so."""
    settings = "driver.cloud=simulator,driver.mountFsType=,image.tag=ci-simulator,azure.existingSecret=,azure.credential=clientSecret"
    install("--set", settings, "--set", "controller.extraArgs={--simulator-speed=60}", replicas=1)
    apply(new_claim("simulated"))
    wait("the claim is bound", lambda: bound("simulated"))
    require(attributes("simulated").get("simulated") == "true", f"nothing says that it is simulated: {attributes('simulated')}")
    remove("pvc", "simulated")
    gone(["simulated"])
    end_to_end("node")


def uninstall():
    """After helm uninstall no pod of the driver is left; CSIDriver stays, for the volumes that may be there."""
    world.helm("uninstall", world.RELEASE, "-n", world.NAMESPACE, "--wait", "--timeout", "180s")
    wait("no pod is left", lambda: not pods(CONTROLLER) and not pods(NODE_PLUGIN))
    require(api.get(f"/apis/storage.k8s.io/v1/csidrivers/{world.DRIVER}"), "CSIDriver was deleted")
    require(claim("kubernetes") is None and not volume_mounts(), f"mounts are left: {volume_mounts()}")
