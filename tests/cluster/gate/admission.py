"""The admission policy of the node service account: from its own node it removes the driver's startup taints, no more.

That the driver itself gets along with the policy is shown by every other scenario, since all install with it.
"""

import json
import subprocess

from gate import scenarios, world
from gate.world import NAMESPACE, NODE_PLUGIN, apply, kubectl, pods, require
from node.settings import API, NODE, programs, state

ACCOUNT = "csi-azurelustre-node-sa"
OURS = f"{world.DRIVER}/agent-not-ready"
FOR_AUTOSCALER = "startup-taint.cluster-autoscaler.kubernetes.io/azurelustre-agent-not-ready"
OTHER = "example.com/other"
# Of a kind on which no DaemonSet of ours runs.
OTHER_NODE = "other-node"

OWN_NODE_ONLY = "only the node that its pod runs on"
TAINTS_ONLY = "only remove its own startup taints"
NOTHING_ELSE = "nothing of a node but its startup taints"
NO_STATUS = "may not change the status"


def token(*bound_to):
    return kubectl("create", "token", ACCOUNT, "-n", NAMESPACE, *bound_to).strip()


def token_of_pod():
    """A token as the node's driver has it: of its pod, so with the pod's node among its claims."""
    pod = pods(NODE_PLUGIN)[0]["metadata"]
    return token("--bound-object-kind=Pod", f"--bound-object-name={pod['name']}", f"--bound-object-uid={pod['uid']}")


def patch(holder, patch_, node=NODE, *flags):
    """Patches a node with a token; exit code and output."""
    command = [programs() / "kubectl", f"--server={API}", f"--certificate-authority={state() / 'pki' / 'ca.crt'}"]
    command += ["--kubeconfig=/dev/null", f"--token={holder}", "patch", "node", node, "--type=json", "-p", json.dumps(patch_)]
    done = subprocess.run([str(part) for part in [*command, *flags]], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def taints_but(*keys, node=NODE, and_=()):
    """A patch that leaves the node's taints without these keys, and adds some."""
    present = world.api.get(f"/api/v1/nodes/{node}")["spec"].get("taints", [])
    left = [taint for taint in present if taint["key"] not in keys] + list(and_)
    return [{"op": "test", "path": "/spec/taints", "value": present}, {"op": "replace", "path": "/spec/taints", "value": left}]


def add(path, value):
    return [{"op": "add", "path": path, "value": value}]


def denied(holder, patch_, reason, node=NODE, *flags):
    code, output = patch(holder, patch_, node, *flags)
    require(code != 0 and reason in output, f"not denied for `{reason}`: {patch_} of {node}: {code} {output}")


def allowed(holder, patch_):
    code, output = patch(holder, patch_)
    require(code == 0, f"denied: {patch_}: {output}")


def judge_denials(holder):
    denied(holder, taints_but(OTHER), TAINTS_ONLY)
    denied(holder, taints_but(OURS, OTHER), TAINTS_ONLY)
    denied(holder, taints_but(and_=[{"key": OTHER, "effect": "NoSchedule"}]), TAINTS_ONLY)
    denied(holder, taints_but(OURS, and_=[{"key": OURS, "effect": "NoExecute"}]), TAINTS_ONLY)
    denied(holder, add("/metadata/labels/example.com~1label", "x"), NOTHING_ELSE)
    denied(holder, add("/metadata/annotations/example.com~1annotation", "x"), NOTHING_ELSE)
    denied(holder, add("/metadata/finalizers", ["example.com/finalizer"]), NOTHING_ELSE)
    denied(holder, add("/spec/unschedulable", True), NOTHING_ELSE)
    denied(holder, taints_but(OURS, node=OTHER_NODE), OWN_NODE_ONLY, OTHER_NODE)
    # A token that somebody made of the account, without a pod, belongs to no node.
    denied(token(), taints_but(OURS), OWN_NODE_ONLY)
    # RBAC does not grant it; nor would it help if somebody did.
    allow_status()
    denied(holder, add("/status/phase", "Pending"), NO_STATUS, NODE, "--subresource=status")


def allow_status():
    metadata = {"name": "gate-node-status"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": metadata["name"]}
    base = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": metadata}
    rules = [{"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["get", "patch"]}]
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}]
    apply({**base, "kind": "ClusterRole", "rules": rules})
    apply({**base, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": subjects})


def judge():
    """What the policy allows and denies, asked with tokens of the account."""
    scenarios.settled()
    taints = [f"{OURS}=:PreferNoSchedule", f"{FOR_AUTOSCALER}=:PreferNoSchedule", f"{OTHER}=:PreferNoSchedule"]
    apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": OTHER_NODE, "labels": {"type": "virtual-kubelet"}}})
    for node in (NODE, OTHER_NODE):
        kubectl("taint", "node", node, *taints)
    try:
        holder = token_of_pod()
        judge_denials(holder)
        allowed(holder, taints_but(OURS))
        allowed(holder, taints_but(FOR_AUTOSCALER))
        require(OTHER in world.taints() and OURS not in world.taints(), f"taints: {world.taints()}")
    finally:
        kubectl("delete", "node", OTHER_NODE)
        kubectl("delete", "clusterrole,clusterrolebinding", "gate-node-status", "--ignore-not-found")
        for key in (OURS, FOR_AUTOSCALER, OTHER):
            if key in world.taints():
                kubectl("taint", "node", NODE, f"{key}-")
