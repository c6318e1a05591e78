"""The images of the test cluster besides the driver's: sidecars, pause, busybox and the ARM stub."""

import subprocess
import sys

from node.settings import REPOSITORY, debian, programs

sys.path.insert(0, str(REPOSITORY / "scripts"))
from image_archive import Image, Layer, write  # noqa: E402

SIDECARS = ["csi-provisioner", "csi-resizer", "csi-node-driver-registrar", "livenessprobe"]
# Names under which Kubernetes' storage suite asks for its images; one image serves all of them.
SUITE = {
    "busybox": ["registry.k8s.io/e2e-test-images/busybox:1.37.0-2", "registry.k8s.io/e2e-test-images/nginx:1.27.0-2"],
    "agnhost": ["registry.k8s.io/e2e-test-images/agnhost:2.66.1"],
}


def single(name):
    """An image of one Go program."""
    layer = Layer().add(name, (programs() / name).read_bytes(), 0o755).folder("tmp", 0o1777)
    return Image([f"localhost/{name}:ci"], layer, Entrypoint=[f"/{name}"])


def shell(layer):
    """A layer with busybox under all of its names."""
    binary = debian() / "bin" / "busybox"
    layer.add("bin/busybox", binary.read_bytes(), 0o755)
    for name in subprocess.run([binary, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if name != "busybox":
            layer.link(f"bin/{name}", "busybox")
    layer.add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    layer.add("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    return layer.folder("tmp", 0o1777).folder("root", 0o700)


def busybox():
    path = ["PATH=/bin"]
    return Image(["localhost/busybox:ci", *SUITE["busybox"]], shell(Layer()), Cmd=["sh"], Env=path)


def agnhost():
    layer = shell(Layer()).add("agnhost", (programs() / "agnhost").read_bytes(), 0o755)
    return Image(["localhost/agnhost:ci", *SUITE["agnhost"]], layer, Entrypoint=["/agnhost"], Cmd=["pause"], Env=["PATH=/bin:/"])


def arm_stub(binary):
    layer = Layer().add("arm-stub", binary.read_bytes(), 0o755).folder("tmp", 0o1777)
    return Image(["localhost/arm-stub:ci"], layer, Entrypoint=["/arm-stub"])


def make(path, stub=None):
    """Writes them into one archive."""
    images = [single(name) for name in ["pause", *SIDECARS]] + [busybox(), agnhost()]
    if stub:
        images.append(arm_stub(stub))
    write(path, images)
