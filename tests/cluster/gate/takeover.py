"""Taking over from the Go driver by deploy/install-driver.sh: workloads run on, CSIDriver is never away."""

import os
import subprocess

from gate import scenarios, standins, world
from gate.watch import Watch, judge_stays
from gate.world import CONTROLLER, NODE_PLUGIN, apply, items, pods, ready, require, stub, wait
from node.settings import REPOSITORY, programs, state


# The Go driver as a Helm release; the others are its manifests.
CHART = "chart-0.6"


def install_driver(*flags):
    """deploy/install-driver.sh of this checkout, and what it prints."""
    environment = {**os.environ, "PATH": f"{programs()}:{os.environ['PATH']}"}
    script = REPOSITORY / "deploy" / "install-driver.sh"
    # The stand-ins unload no modules.
    command = ["bash", script, "--local", "--helm", "--namespace", world.NAMESPACE, "--lustre-stays", *flags]
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, cwd=state())
    print("\n".join(f"      | {line}" for line in (done.stdout + done.stderr).splitlines()))
    require(done.returncode == 0, f"install-driver.sh ended with {done.returncode}")
    return done.stdout


def old_pods():
    return items(f"/api/v1/namespaces/{world.NAMESPACE}/pods?labelSelector=stand-in-for")


def prepare(version):
    """The old driver in the place of ours; our workload's mounts stay."""
    if version == CHART:
        # CSIDriver is there from before.
        world.helm("install", standins.RELEASE, standins.chart(state() / "chart-0.6"), "-n", world.NAMESPACE, "--take-ownership")
    else:
        apply(*standins.objects(version))
    wait(f"the stand-ins of {version} run", lambda: len(old_pods()) == 3 and all(map(ready, old_pods())))


def refused():
    """The chart beside the old driver changes nothing and names the command to run."""
    try:
        world.helm("upgrade", "--install", world.RELEASE, world.CHART, "-n", world.NAMESPACE, "-f", world.GATE / "values.yaml")
    except world.Wrong as error:
        require("install-driver.sh | bash -s -- --helm --namespace kube-system" in str(error), str(error))
    else:
        raise world.Wrong("the chart was installed beside the Go driver")
    require(len(old_pods()) == 3, "the refused installation has changed something")


def leftovers():
    """What must not be there after a take-over."""
    base = "/apis/rbac.authorization.k8s.io/v1"
    roles = [one["metadata"]["name"] for one in items(f"{base}/clusterroles") + items(f"{base}/clusterrolebindings")]
    sets = items(f"/apis/apps/v1/namespaces/{world.NAMESPACE}/daemonsets")
    budgets = items(f"/apis/policy/v1/namespaces/{world.NAMESPACE}/poddisruptionbudgets")
    secrets = items(f"/api/v1/namespaces/{world.NAMESPACE}/secrets?labelSelector=owner%3Dhelm%2Cname%3D{standins.RELEASE}")
    names = roles + [one["metadata"]["name"] for one in sets + budgets + secrets]
    old = (f"{NODE_PLUGIN}-", standins.PREFIX, f"sh.helm.release.v1.{standins.RELEASE}.")
    return [name for name in names if "-secret-" in name or name.startswith(old)]


def one(version):
    """From one version: its pods are replaced, a workload's volume stays mounted, CSIDriver is the same object."""
    name = f"takeover-{version.replace('.', '-')}"
    scenarios.workload(name)
    world.helm("uninstall", world.RELEASE, "-n", world.NAMESPACE, "--wait", "--timeout", "180s")
    wait("no pod of ours is left", lambda: not pods(CONTROLLER) and not pods(NODE_PLUGIN))
    prepare(version)
    csi_driver = Watch("csidrivers", world.DRIVER)
    refused()
    install_driver("--", "-f", world.GATE / "values.yaml")
    scenarios.settled()
    wait("the old pods are gone", lambda: not old_pods())
    require(not leftovers(), f"left of {version}: {leftovers()}")
    judge_stays(csi_driver.end_without_gap())
    scenarios.writes_on(name)
    scenarios.mounts_anew(name)
    scenarios.finish(name)
    stub.judge_none()


def all_versions():
    for version in (*standins.VERSIONS, CHART):
        print(f"      from {version}")
        one(version)
