"""Whether the driver's image is enough for its binary: it serves, resolves a host name and does TLS with nothing beside it.

    python3 image.py BINARY ARM_STUB

Runs as root in mount, network and process namespaces of its own (`scripts/cluster image` makes them). The root that it
enters is the archive's layer and what every container is given: /proc, /etc/resolv.conf, a folder for the socket.
"""

import fcntl
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
HOST = "management.gate.test"
SETTINGS = {
    "tenantId": "0a5e1b9c-0000-4000-8000-00000000aaaa",
    "subscriptionId": "00000000-0000-0000-0000-000000000000",
    "aadClientId": "1b2c3d4e-0000-4000-8000-00000000bbbb",
    "aadClientSecret": "of-the-test",
    "resourceManagerEndpoint": f"https://{HOST}",
    "location": "eastus",
}


def require(condition, message):
    if not condition:
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


def unpack(binary, folder):
    """The image's files, as a container runtime unpacks them."""
    archive, root = folder / "image.tar", folder / "root"
    subprocess.run([HERE.parents[1] / "scripts" / "image", "--binary", binary, "--output", archive], check=True)
    with tarfile.open(archive) as image:
        [entry] = json.load(image.extractfile("manifest.json"))
        config = json.load(image.extractfile(entry["Config"]))
        with tarfile.open(fileobj=image.extractfile(entry["Layers"][0])) as layer:
            layer.extractall(root)
    names = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
    require(names == ["azurelustre-csi", "etc/ssl/certs/ca-certificates.crt"], f"the image holds {names}")
    require(config["config"]["Entrypoint"] == ["/azurelustre-csi"], f"the image runs {config['config']}")
    return root


def loopback():
    """Switches on lo, which is down in a new network namespace."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING


class Names(threading.Thread):
    """A name server that knows one host, at 127.0.0.1, and counts who asks for it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))

    def run(self):
        while True:
            query, client = self.socket.recvfrom(512)
            self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        end = query.index(b"\0", 12) + 5
        labels, kind = query[12 : end - 4], struct.unpack_from(">H", query, end - 4)[0]
        known = labels == b"".join(bytes([len(part)]) + part.encode() for part in HOST.split(".")) + b"\0"
        self.asked += known
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
        found = known and kind == 1
        head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, found, 0, 0)
        return head + query[12:end] + (record if found else b"")


def certificate(folder):
    """A certificate of its own for the host."""
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return folder / "certificate.pem", folder / "key.pem"


def start(root, *arguments, **variables):
    """Starts the image's binary in its root, with no environment but this."""
    command = ["/azurelustre-csi", *arguments]
    return subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: (os.chroot(root), os.chdir("/")),
    )  # fmt: skip


def run(root, *arguments, **variables):
    """The same to its end: exit code and output."""
    process = start(root, *arguments, **variables)
    output = process.communicate(timeout=120)[0]
    return process.returncode, output


def listening(port):
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def asks_azure(root, names):
    """DNS and TLS: the SKUs of a region, from a host that is known by name only."""
    variables = {"AZURE_CONFIG_FILE": "/azure.json", "AZURE_AUTHORITY_HOST": f"https://{HOST}"}
    code, output = run(root, "skus", SSL_CERT_FILE="/authority.pem", **variables)
    require(code == 0 and "AMLFS-Durable-Premium" in output, f"the SKUs were not found:\n{output}")
    require(names.asked, "the host's name was not looked up")
    # With the image's own roots the same server is a stranger: they are read, and they do not hold everything.
    code, output = run(root, "skus", **variables)
    require(code != 0 and re.search("certificate|issuer", output, re.I), f"TLS does not check certificates:\n{output}")


def serves(root):
    """The socket opens, and a probe from the same image is answered."""
    serve = ["serve", "--mode=node", "--nodeid=node", "--mount-fs-type=tmpfs", "--remove-not-ready-taint=false"]
    server = start(root, *serve, "--endpoint=unix:///csi/csi.sock", "--working-mount-dir=/csi")
    try:
        for _ in range(100):
            if (root / "csi" / "csi.sock").exists() or server.poll() is not None:
                break
            time.sleep(0.05)
        code, output = run(root, "probe", "--endpoint=unix:///csi/csi.sock")
        require(code == 0, f"the driver is not ready: {output}")
    finally:
        server.terminate()
        log = server.communicate(timeout=60)[0]
    require(server.returncode == 0, f"the driver ended with {server.returncode}:\n{log}")


def main(binary, stub):
    loopback()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        root = unpack(binary, folder)
        for name in ("proc", "csi"):
            (root / name).mkdir()
        subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
        cert, key = certificate(folder)
        (root / "etc" / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (root / "azure.json").write_text(json.dumps(SETTINGS))
        (root / "authority.pem").write_bytes(cert.read_bytes())
        names = Names()
        names.start()
        azure = subprocess.Popen([stub, "127.0.0.1:443", cert, key, HOST])
        try:
            require(listening(443), "the ARM stub does not listen")
            asks_azure(root, names)
            serves(root)
        finally:
            azure.kill()
            azure.wait()
            subprocess.run(["umount", root / "proc"], check=True)
    print("the image's binary serves, resolves a host name and does TLS")


main(*sys.argv[1:])
