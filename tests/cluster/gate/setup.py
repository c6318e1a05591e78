"""Azure for the gate: the ARM stub as a pod, and what the controller needs to reach it."""

import json

from gate.world import NAMESPACE, STUB, apply, kubectl, pods, ready, stub, wait
from node.settings import state

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"

# The cluster's cloud settings, as azure.json holds them.
AZURE = {
    "cloud": "AzurePublicCloud",
    "tenantId": "0a5e1b9c-0000-4000-8000-00000000aaaa",
    "subscriptionId": SUBSCRIPTION,
    "aadClientId": "1b2c3d4e-0000-4000-8000-00000000bbbb",
    "aadClientSecret": "of-the-test-cluster",
    "resourceManagerEndpoint": STUB,
    "location": "eastus",
    "resourceGroup": "gate",
    "vnetName": "vnet",
    "vnetResourceGroup": "gate",
    "subnetName": "aks-subnet",
}


def arm_stub():
    """The stub on the host network, under the node's address, which is in its certificate."""
    pki = state() / "pki"
    container = {
        "name": "arm-stub",
        "image": "localhost/arm-stub:ci",
        "imagePullPolicy": "Never",
        "args": [STUB.removeprefix("https://"), "/pki/arm-stub.crt", "/pki/arm-stub.key"],
        "volumeMounts": [{"name": "pki", "mountPath": "/pki", "readOnly": True}],
    }
    spec = {
        "hostNetwork": True,
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "pki", "hostPath": {"path": str(pki)}}],
    }
    metadata = {"name": "arm-stub", "namespace": "arm-stub", "labels": {"app": "arm-stub"}}
    apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "arm-stub"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
    )
    wait("the ARM stub's pod is ready", lambda: all(map(ready, pods("arm-stub", "arm-stub"))))
    wait("the ARM stub answers", stub.answers)


def credentials(namespace=NAMESPACE):
    """The Secret with the cloud settings, and the authority that the stub's certificate comes from."""
    authority = (state() / "pki" / "ca.crt").read_text()
    apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "azure-cloud-config", "namespace": namespace},
            "stringData": {"cloud-config": json.dumps(AZURE)},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "gate-authority", "namespace": namespace},
            "data": {"ca.crt": authority},
        },
    )


def remove():
    kubectl("delete", "namespace", "arm-stub", "--wait=false")
