"""Starts the cluster's programs in order and waits for each where the next one needs it."""

import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from node.configs import CONTAINERD_SOCKET
from node.settings import API, NODE, NODE_ADDRESS, SERVICES, debian, programs

# The longest that the cluster may take to become ready, in seconds: 15 on a quiet machine.
PATIENCE = 300


class Failed(Exception):
    """The cluster cannot start; the message names the log."""


def until(what, check, alive=(), patience=PATIENCE, pause=0.1):
    """Waits until a check returns something true, and returns it."""
    end = time.monotonic() + patience
    while True:
        found = check()
        if found:
            return found
        for process in alive:
            process.check()
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {patience} s")
        time.sleep(pause)


class Process:
    """A program in the background, with its log in the state."""

    def __init__(self, state, name, program, *flags):
        self.state, self.name = state, name
        self.command = [str(program), *map(str, flags)]
        self.start()

    def start(self):
        self.log = self.state / "logs" / f"{self.name}.log"
        folders = f"{debian()}/usr/bin:{debian()}/usr/sbin:{debian()}/bin:{programs()}"
        environment = {**os.environ, "PATH": f"{folders}:{os.environ['PATH']}"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        (self.state / "pids" / self.name).write_text(str(self.process.pid))

    def check(self):
        if self.ended():
            end = b"\n".join(self.log.read_bytes().splitlines()[-20:]).decode(errors="replace")
            raise Failed(f"{self.name} has ended with {self.process.returncode}:\n{end}")

    def ended(self):
        return self.process.poll() is not None


class Api:
    """The API server, asked as administrator."""

    def __init__(self, state):
        context = ssl.create_default_context(cafile=state / "pki" / "ca.crt")
        context.load_cert_chain(state / "pki" / "admin.crt", state / "pki" / "admin.key")
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def text(self, path, timeout=30):
        """The body of an answer; `None` where nothing is found or nobody listens."""
        try:
            with self._opener.open(f"{API}{path}", timeout=timeout) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code in (403, 404, 429, 500, 503):
                return None
            raise
        except (OSError, urllib.error.URLError):
            return None

    def get(self, path):
        """An object; `None` as above."""
        text = self.text(path)
        return None if text is None else json.loads(text)


def node_ready(api):
    node = api.get(f"/api/v1/nodes/{NODE}") or {}
    conditions = node.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def apiserver_flags(state):
    pki = state / "pki"
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        "--secure-port=443",
        f"--advertise-address={NODE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/tokens.pub",
        f"--service-account-signing-key-file={pki}/tokens.key",
        f"--audit-policy-file={state}/config/audit.json",
        f"--audit-log-path={state}/logs/audit.log",
    ]


def start(state, images):
    """Starts everything, imports the images, and returns the programs by name once pods can run."""
    bin_, pki, config = programs(), state / "pki", state / "config"
    for folder in ("logs", "pids"):
        (state / folder).mkdir()
    running = {}

    def begin(name, program, *flags):
        running[name] = Process(state, name, program, *flags)

    begin("etcd", bin_ / "etcd", f"--data-dir={state}/etcd", "--unsafe-no-fsync",
          "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
          "--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
          "--initial-cluster=default=http://127.0.0.1:2380")  # fmt: skip
    begin("kube-apiserver", bin_ / "kube-apiserver", *apiserver_flags(state))
    begin("containerd", debian() / "usr" / "bin" / "containerd", f"--config={config}/containerd.toml")
    alive = running.values()
    ctr = [debian() / "usr" / "bin" / "ctr", "--address", CONTAINERD_SOCKET, "-n", "k8s.io"]
    ctr = [str(part) for part in ctr]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    until("containerd answers", lambda: subprocess.run([*ctr, "version"], **quiet).returncode == 0, alive)
    for archive in images:
        subprocess.run([*ctr, "images", "import", str(archive)], check=True, stdout=subprocess.DEVNULL)

    api = Api(state)
    until("the API server is ready", lambda: api.text("/readyz") == "ok", alive)
    begin("kube-controller-manager", bin_ / "kube-controller-manager", "--leader-elect=false",
          f"--kubeconfig={config}/kube-controller-manager.kubeconfig", "--use-service-account-credentials",
          f"--service-account-private-key-file={pki}/tokens.key", f"--root-ca-file={pki}/ca.crt",
          f"--cert-dir={state}/certs")  # fmt: skip
    begin("kube-scheduler", bin_ / "kube-scheduler", "--leader-elect=false",
          f"--kubeconfig={config}/kube-scheduler.kubeconfig", f"--cert-dir={state}/certs")  # fmt: skip
    begin("kubelet", bin_ / "kubelet", f"--config={config}/kubelet.json", f"--kubeconfig={config}/kubelet.kubeconfig",
          f"--hostname-override={NODE}", f"--node-ip={NODE_ADDRESS}", f"--cert-dir={state}/certs")  # fmt: skip
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    until("the service account 'default' exists", lambda: api.get(account), alive)
    until("the node is ready", lambda: node_ready(api), alive)
    return running
