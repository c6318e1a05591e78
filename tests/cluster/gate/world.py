"""What scenarios see and do: the cluster through its API and kubectl, the ARM stub, and the programs on the node."""

import json
import os
import pathlib
import signal
import ssl
import subprocess
import time
import urllib.request

from node.processes import Api, until
from node.settings import NODE, NODE_ADDRESS, REPOSITORY, programs, state

DRIVER = "azurelustre.csi.azure.com"
NAMESPACE = "kube-system"
CHART = REPOSITORY / "deploy" / "helm" / "azurelustre-csi"
RELEASE = "azurelustre-csi"
LEASE = "azurelustre-csi-azure-com"
CONTROLLER, NODE_PLUGIN = "csi-azurelustre-controller", "csi-azurelustre-node"
STUB = f"https://{NODE_ADDRESS}:8443"
GATE = pathlib.Path(__file__).parent

api = Api(state())


class Wrong(Exception):
    """A scenario found what must not be."""


def require(condition, message):
    if not condition:
        raise Wrong(message)


def command(*parts, **options):
    """Runs a command and returns its output; a failure shows it."""
    done = subprocess.run([str(part) for part in parts], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Wrong(f"{' '.join(map(str, parts))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments, **options):
    return command(programs() / "kubectl", *arguments, **options)


def helm(*arguments):
    return command(programs() / "helm", *arguments)


def apply(*objects):
    """Creates or updates objects."""
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    kubectl("apply", "-f", "-", input=json.dumps(listed))


def items(path):
    """The objects of a list; an API server that does not answer is asked again."""
    return until(f"list {path}", lambda: api.get(path))["items"]


def pods(app, namespace=NAMESPACE):
    return items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}")


def claim(name):
    return api.get(f"/api/v1/namespaces/default/persistentvolumeclaims/{name}")


def ready(pod):
    return any(at["type"] == "Ready" and at["status"] == "True" for at in pod["status"].get("conditions", []))


def wait(what, check, patience=120):
    return until(what, check, patience=patience)


def storage_class(name, **parameters):
    default = {
        "sku-name": "AMLFS-Durable-Premium-500",
        "zone": "1",
        "maintenance-day-of-week": "Monday",
        "maintenance-time-of-day-utc": "03:00",
    }
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": DRIVER,
        "parameters": {**default, **parameters},
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def new_claim(name, storage_class_name="gate"):
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": storage_class_name,
        "resources": {"requests": {"storage": "4Ti"}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def new_pod(name, claim_name, script="while :; do date +%s >>/data/$HOSTNAME; sleep 1; done"):
    """A pod that runs a shell script with the volume at /data and ends at once when it is deleted."""
    container = {
        "name": "shell",
        "image": "localhost/busybox:ci",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", f"trap 'exit 0' TERM; ({script}) & wait"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}],
        "terminationGracePeriodSeconds": 1,
        "dnsPolicy": "Default",
    }
    labels = {"app": "workload"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def bound(name):
    found = claim(name)
    return found and found["status"].get("phase") == "Bound"


def filesystem(name):
    """The name of the file system that belongs to a claim."""
    return f"pvc-{claim(name)['metadata']['uid']}"


def running(name):
    pod = api.get(f"/api/v1/namespaces/default/pods/{name}")
    return pod and ready(pod)


def remove(kind, *names):
    if names:
        kubectl("delete", kind, *names, "--ignore-not-found", "--timeout=120s")


def volume_mounts():
    """Mount points of CSI volumes on the node."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if "kubernetes.io~csi" in line]


class Stub:
    """The ARM stub's side door."""

    def __init__(self):
        context = ssl.create_default_context(cafile=state() / "pki" / "ca.crt")
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def state(self):
        with self._opener.open(f"{STUB}/stub/state", timeout=10) as answer:
            return json.load(answer)

    def answers(self):
        try:
            return self.state()
        except OSError:
            return None

    def times(self, create, delete=2):
        """Sets how long creations and deletions take from now on, in seconds."""
        body = json.dumps({"createSeconds": create, "deleteSeconds": delete}).encode()
        with self._opener.open(f"{STUB}/stub/settings", data=body, timeout=10):
            pass

    def judge_one_each(self, names):
        """Every one of these file systems exists, made by one creation."""
        found = self.state()
        for name in names:
            require(found["creations"].get(name) == 1, f"{name} was created {found['creations'].get(name, 0)} times")
            require(found["filesystems"].get(name) == "Succeeded", f"{name} is {found['filesystems'].get(name)}")

    def judge_none(self):
        """No file system is left."""
        left = wait("no file system is left in Azure", lambda: [] == list(self.state()["filesystems"]) or None, 90)
        require(left, "file systems are left")


stub = Stub()


class Programs:
    """Processes of pods, as the node sees them."""

    @staticmethod
    def find(word, pod=None):
        """Process ids whose command line begins with a program of this name, in a pod of this name."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().split(b"\0")
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            program = os.path.basename(line[0].decode(errors="replace"))
            named = pod is None or f"HOSTNAME={pod}".encode() in environment or f"POD_NAME={pod}".encode() in environment
            if program == word and named:
                found.append(int(folder.name))
        return found

    @classmethod
    def kill(cls, word, pod=None):
        """Kills a program of a pod at once; there must be one."""
        found = cls.find(word, pod)
        require(found, f"no process {word} of pod {pod}")
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def leader():
    """The pod whose provisioner holds the lease."""
    lease = api.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{LEASE}") or {}
    holder = lease.get("spec", {}).get("holderIdentity") or ""
    names = [pod["metadata"]["name"] for pod in pods(CONTROLLER) if "deletionTimestamp" not in pod["metadata"]]
    return next((name for name in names if holder.startswith(name) or holder.endswith(name)), None)


def taints():
    node = wait("the node is there", lambda: api.get(f"/api/v1/nodes/{NODE}"))
    return [taint["key"] for taint in node["spec"].get("taints", [])]


def registered():
    """Whether CSINode lists the driver."""
    found = api.get(f"/apis/storage.k8s.io/v1/csinodes/{NODE}") or {}
    return DRIVER in [driver["name"] for driver in found.get("spec", {}).get("drivers") or []]


def sleep_until(moment):
    """Waits for a moment of the scenario, given by time.monotonic()."""
    time.sleep(max(0.0, moment - time.monotonic()))
