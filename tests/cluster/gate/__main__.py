"""The gate in a running cluster: all scenarios in order, or those that are named.

    python3 -m gate [NAME...]
"""

import subprocess
import sys
import time
import traceback

from gate import admission, audit, node_setup, scenarios, setup, suite, takeover, world
from gate.world import NAMESPACE, Wrong
from node.processes import Failed
from node.settings import programs, state

ORDER = {
    # Before there is anything that would be merged with.
    "dry-run": scenarios.dry_run,
    "install": scenarios.fresh_installation,
    "e2e": scenarios.end_to_end,
    "crash-of-driver": scenarios.crash_of_driver,
    "crash-of-provisioner": scenarios.crash_of_provisioner,
    "crash-of-both": scenarios.crash_of_both,
    "deleted-while-creating": scenarios.deleted_while_creating,
    "hand-over": scenarios.hand_over,
    "node-plugin": scenarios.node_plugin,
    "kubelet": scenarios.kubelet,
    "crowd": scenarios.crowd,
    "upgrade": scenarios.upgrade,
    "node-setup": node_setup.judge,
    # Before anything is uninstalled: pods that are ending outlive their roles.
    "audit": audit.judge,
    # After the audit: its requests are denied on purpose.
    "admission-policy": admission.judge,
    "take-over": takeover.all_versions,
    "storage-suite": suite.ci,
    "simulator": scenarios.simulator,
    "uninstall": scenarios.uninstall,
}
# Not of the gate: by name only.
BY_NAME = {"whole-storage-suite": suite.everything}


def show(*arguments):
    subprocess.run([programs() / "kubectl", *arguments])


def report():
    """What can be known of a cluster that is gone in a moment."""
    print("==> pods, claims and events")
    show("get", "pods,pvc,pv", "-A", "-o", "wide")
    show("get", "events", "-A", "--sort-by=.lastTimestamp")
    for app in (world.CONTROLLER, world.NODE_PLUGIN):
        print(f"==> logs of {app}")
        show("logs", "-n", NAMESPACE, "-l", f"app={app}", "--all-containers", "--prefix", "--tail=60")
    print("==> ends of the cluster's own logs")
    for name in ("kubelet", "containerd"):
        lines = (state() / "logs" / f"{name}.log").read_text(errors="replace").splitlines()[-30:]
        print("\n".join(f"{name}: {line}" for line in lines))


def run(name):
    print(f"  {name} …", flush=True)
    begun = time.monotonic()
    try:
        {**ORDER, **BY_NAME}[name]()
    except (Wrong, Failed) as error:
        print(f"  {name}: FAILED after {time.monotonic() - begun:.1f} s: {error}")
        return False
    except Exception:
        print(f"  {name}: FAILED after {time.monotonic() - begun:.1f} s")
        traceback.print_exc(file=sys.stdout)
        return False
    print(f"  {name}: ok, {time.monotonic() - begun:.1f} s", flush=True)
    return True


def main(names):
    known = {**ORDER, **BY_NAME}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no scenario {', '.join(unknown)}\nhint: {', '.join(known)}", file=sys.stderr)
        return 2
    # Without the first there is no driver.
    chosen = [name for name in known if name in (names or ORDER) or name == "install"]
    begun = time.monotonic()
    setup.arm_stub()
    setup.credentials()
    for name in chosen:
        if not run(name):
            report()
            return 1
    print(f"{len(chosen)} scenarios ok, {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
