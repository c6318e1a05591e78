"""What the parts of the test cluster agree about."""

import os
import pathlib

NODE = "ci-node"
# The node's address: kubelet and Endpoints refuse loopback ones. From the range for documentation, so it is nobody's.
NODE_ADDRESS = "198.51.100.1"
# The address of the service `kubernetes`. It lies on lo too, and the API server listens on 443 everywhere: no kube-proxy.
API_SERVICE = "10.96.0.1"
SERVICES = "10.96.0.0/24"
PODS = "198.18.0.0/24"
API = f"https://{NODE_ADDRESS}:443"

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
HERE = REPOSITORY / "tests" / "cluster"


def state():
    """The folder of the running cluster: plain files, on a disk that is no overlay."""
    return pathlib.Path(os.environ["CLUSTER_STATE"])


def cgroup():
    """The cgroup of all pods. Each cluster has its own, since kubelet ends what it does not know there; `scripts/cluster`
    removes it, because it outlives the cluster."""
    return f"azurelustre-csi-test-cluster-{state().name}"


def programs():
    """The folder of the Go programs."""
    return pathlib.Path(os.environ["CLUSTER_PROGRAMS"]) / "bin"


def debian():
    """The folder of the unpacked Debian packages."""
    return pathlib.Path(os.environ["CLUSTER_DEBIAN"])
