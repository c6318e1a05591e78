"""Objects named and selected as the Go driver's manifests of 0.3, 0.4 and 0.6 and its chart 0.6 have them, with pods that
only wait.

Taking over is about names, selectors, labels, owners and host ports, so nothing of the old driver itself is needed.
"""

import json

from gate.world import CONTROLLER, NAMESPACE

VERSIONS = ("0.3", "0.4", "0.6")
# What the documents call the release of the chart, and the prefix that its objects then have.
RELEASE, PREFIX = "azurelustre", "azurelustre-azurelustre-csi-driver"
CONTROLLER_PORT, NODE_PORT = 29762, 29763


def waiting(name, port=None):
    """A container that waits; on the host network its port is a port of the node."""
    container = {
        "name": name,
        "image": "localhost/busybox:ci",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"],
    }
    if port:
        container["ports"] = [{"name": "healthz", "containerPort": port}]
    return container


def workload(kind, name, selector, names, port, version, **spec):
    """A Deployment or DaemonSet whose pods hold these containers."""
    containers = [waiting(one, port if one == "azurelustre" else None) for one in names]
    pod = {
        "serviceAccountName": "csi-azurelustre-controller-sa" if kind == "Deployment" else "csi-azurelustre-node-sa",
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 5,
        "dnsPolicy": "Default",
        "containers": containers,
        **spec,
    }
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"stand-in-for": version}}
    template = {"metadata": {"labels": {**selector, "stand-in-for": version}}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": selector}, "template": template},
    }


def controller(version):
    selector = {"app": CONTROLLER}
    if version == "0.6":
        selector["app.kubernetes.io/component"] = "controller"
    names = ["csi-provisioner", "liveness-probe", "azurelustre"]
    made = workload("Deployment", CONTROLLER, selector, names, CONTROLLER_PORT, version)
    made["spec"]["replicas"] = 2
    return made


def node_plugins(version):
    """One DaemonSet up to 0.3, later one for each flavour of the operating system; the node here is of the first."""
    names = ["liveness-probe", "node-driver-registrar", "azurelustre"]
    flavors = {"0.3": [None], "0.4": ["jammy", "noble"], "0.6": ["jammy", "noble", "azurelinux3"]}[version]
    for flavor in flavors:
        selector = {"app": "csi-azurelustre-node"}
        spec = {"hostNetwork": True}
        if flavor:
            selector["flavor"] = flavor
        if flavor not in (None, "jammy"):
            spec["nodeSelector"] = {"kubernetes.azure.com/os-sku-effective": flavor}
        if version == "0.6":
            selector["app.kubernetes.io/component"] = "node"
        name = "csi-azurelustre-node" + (f"-{flavor}" if flavor else "")
        yield workload("DaemonSet", name, selector, names, NODE_PORT, version, **spec)


def accounts():
    for name in ("csi-azurelustre-controller-sa", "csi-azurelustre-node-sa"):
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}


def secrets_roles():
    """What 0.3 and 0.4 leave behind: roles that read every Secret of the cluster."""
    for who in ("controller", "node"):
        name = f"csi-azurelustre-{who}-secret"
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]
        account = {"kind": "ServiceAccount", "name": f"csi-azurelustre-{who}-sa", "namespace": NAMESPACE}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"{name}-role"}
        base = {"apiVersion": "rbac.authorization.k8s.io/v1"}
        yield {**base, "kind": "ClusterRole", "metadata": {"name": f"{name}-role"}, "rules": rules}
        yield {
            **base,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{name}-binding"},
            "subjects": [account],
            "roleRef": role,
        }


def csi_driver():
    spec = {"attachRequired": False, "podInfoOnMount": True, "fsGroupPolicy": "File"}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "azurelustre.csi.azure.com"}, "spec": spec}


def objects(version):
    """All of one version."""
    made = [csi_driver(), *accounts(), controller(version), *node_plugins(version)]
    return made + (list(secrets_roles()) if version in ("0.3", "0.4") else [])


def chart_objects():
    """All of the chart 0.6: workloads, roles and budget are named after the release."""
    made = objects("0.6")
    for each in made:
        if each["kind"] in ("Deployment", "DaemonSet"):
            each["metadata"]["name"] = each["metadata"]["name"].replace("csi-azurelustre", PREFIX)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"{PREFIX}-node"}
    account = {"kind": "ServiceAccount", "name": "csi-azurelustre-node-sa", "namespace": NAMESPACE}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": f"{PREFIX}-node"}}
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": CONTROLLER}}}
    return made + [
        {**rbac, "kind": "ClusterRole", "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}]},
        {**rbac, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [account]},
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": f"{PREFIX}-controller", "namespace": NAMESPACE},
            "spec": budget,
        },
    ]


def chart(folder):
    """The chart 0.6 with these objects, for helm."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(json.dumps({"apiVersion": "v2", "name": "azurelustre-csi-driver", "version": "0.6.0"}))
    (folder / "templates" / "all.yaml").write_text("\n---\n".join(map(json.dumps, chart_objects())))
    return folder
