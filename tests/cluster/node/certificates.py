"""The cluster's authority, certificates and kubeconfigs, made by openssl."""

import base64
import json
import subprocess

from node.settings import API, API_SERVICE, NODE, NODE_ADDRESS

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*arguments, **options):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stderr=subprocess.DEVNULL, **options)


class Authority:
    """One authority for everything, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self.certificate = folder / "ca.crt"
        openssl("req", "-x509", "-days", 365, *KEY, "-subj", "/CN=test-cluster",
                "-keyout", folder / "ca.key", "-out", self.certificate)  # fmt: skip

    def issue(self, name, common_name, organization=None, addresses=(), hosts=()):
        """A certificate and key `name.crt`, `name.key`."""
        subject = (f"/O={organization}" if organization else "") + f"/CN={common_name}"
        names = [f"IP:{address}" for address in addresses] + [f"DNS:{host}" for host in hosts]
        extensions = "extendedKeyUsage=serverAuth,clientAuth\n" + (f"subjectAltName={','.join(names)}\n" if names else "")
        request, extension_file = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extension_file.write_text(extensions)
        openssl("req", "-new", *KEY, "-subj", subject, "-keyout", self.folder / f"{name}.key", "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / "ca.key",
                "-CAcreateserial", "-days", 365, "-extfile", extension_file,
                "-out", self.folder / f"{name}.crt", stdout=subprocess.DEVNULL)  # fmt: skip

    def kubeconfig(self, name, path):
        """A kubeconfig for the holder of a certificate."""

        def content(file):
            return base64.b64encode((self.folder / file).read_bytes()).decode()

        user = {"client-certificate-data": content(f"{name}.crt"), "client-key-data": content(f"{name}.key")}
        cluster = {"server": API, "certificate-authority-data": content("ca.crt")}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "cluster",
                    "clusters": [{"name": "cluster", "cluster": cluster}],
                    "users": [{"name": name, "user": user}],
                    "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": name}}],
                }
            )
        )
        path.chmod(0o600)


def make(state):
    """All certificates of the cluster in `pki`, and its kubeconfigs in `config`."""
    authority = Authority(state / "pki")
    hosts = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    authority.issue("apiserver", "kube-apiserver", addresses=[NODE_ADDRESS, API_SERVICE, "127.0.0.1"], hosts=hosts)
    authority.issue("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    authority.issue("kubelet", f"system:node:{NODE}", "system:nodes", addresses=[NODE_ADDRESS])
    authority.issue("arm-stub", "arm-stub", addresses=[NODE_ADDRESS])
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", state / "pki" / "tokens.key")
    openssl("pkey", "-in", state / "pki" / "tokens.key", "-pubout", "-out", state / "pki" / "tokens.pub")
    authority.issue("admin", "admin", "system:masters")
    for name in ("kube-controller-manager", "kube-scheduler"):
        authority.issue(name, f"system:{name}")
    for name in ("admin", "kubelet", "kube-controller-manager", "kube-scheduler"):
        authority.kubeconfig(name, state / "config" / f"{name}.kubeconfig")
