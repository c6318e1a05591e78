"""A Kubernetes API server in memory, just enough for kubectl to read objects: the scripts' --dry-run needs no more."""

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# Group version → resource → (kind, namespaced).
RESOURCES = {
    "v1": {
        "nodes": ("Node", False),
        "namespaces": ("Namespace", False),
        "persistentvolumes": ("PersistentVolume", False),
        "persistentvolumeclaims": ("PersistentVolumeClaim", True),
        "pods": ("Pod", True),
        "secrets": ("Secret", True),
        "configmaps": ("ConfigMap", True),
        "serviceaccounts": ("ServiceAccount", True),
    },
    "apps/v1": {"daemonsets": ("DaemonSet", True), "deployments": ("Deployment", True)},
    "policy/v1": {"poddisruptionbudgets": ("PodDisruptionBudget", True)},
    "storage.k8s.io/v1": {
        "storageclasses": ("StorageClass", False),
        "csidrivers": ("CSIDriver", False),
        "csinodes": ("CSINode", False),
    },
    "rbac.authorization.k8s.io/v1": {
        "clusterroles": ("ClusterRole", False),
        "clusterrolebindings": ("ClusterRoleBinding", False),
        "roles": ("Role", True),
        "rolebindings": ("RoleBinding", True),
    },
    "apiextensions.k8s.io/v1": {"customresourcedefinitions": ("CustomResourceDefinition", False)},
    "clusterconfig.azure.com/v1": {"extensionconfigs": ("ExtensionConfig", True)},
    "authorization.k8s.io/v1": {"selfsubjectaccessreviews": ("SelfSubjectAccessReview", False)},
}


def discovery(path):
    if path == "/version":
        return {"major": "1", "minor": "37", "gitVersion": "v1.37.2"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [{"groupVersion": name, "version": "v1"} for name in RESOURCES if "/" in name]
        listed = [{"name": g["groupVersion"].split("/")[0], "versions": [g], "preferredVersion": g} for g in groups]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    group = path.removeprefix("/apis/").removeprefix("/api/")
    if group in RESOURCES:
        short = {"customresourcedefinitions": ["crd"]}
        resources = [
            {"name": n, "singularName": k.lower(), "kind": k, "namespaced": s, "verbs": ["get", "list"], "shortNames": short.get(n, [])}
            for n, (k, s) in RESOURCES[group].items()
        ]
        return {"kind": "APIResourceList", "groupVersion": group, "resources": resources}
    return None


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.split("?")[0].endswith("/selfsubjectaccessreviews"):
            review = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
            self.answer({**review, "spec": {}, "status": {"allowed": True}}, 201)
        else:
            self.refuse()

    def refuse(self):
        self.server.writes.append(f"{self.command} {self.path}")
        self.answer({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}, 403)

    do_PUT = do_PATCH = do_DELETE = refuse

    def do_GET(self):
        url = urlsplit(self.path)
        found = discovery(url.path) or self.read(url.path, parse_qs(url.query))
        if found is None:
            self.answer({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}, 404)
        else:
            self.answer(found)

    def read(self, path, query):
        parts = path.strip("/").split("/")
        group, rest = (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        namespace = None
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        kind = RESOURCES.get(group, {}).get(rest[0] if rest else "", (None,))[0]
        if kind is None:
            return None
        matching = [each for each in self.server.objects if each["kind"] == kind and namespace in (None, each["metadata"].get("namespace"))]
        if len(rest) > 1:
            return next((each for each in matching if each["metadata"]["name"] == rest[1]), None)
        return {"kind": f"{kind}List", "apiVersion": group, "metadata": {}, "items": [e for e in matching if selected(e, query)]}


def selected(each, query):
    labels, ok = each["metadata"].get("labels", {}), True
    for part in query.get("labelSelector", [""])[0].split(","):
        if "=" in part:
            key, value = part.split("=")
            ok = ok and labels.get(key) == value
    for part in query.get("fieldSelector", [""])[0].split(","):
        if part.startswith("spec.nodeName="):
            ok = ok and each["spec"].get("nodeName") == part.split("=")[1]
    return ok


@contextlib.contextmanager
def cluster(objects):
    """Runs scripts against these objects; gives a function (script, arguments…) → (exit code, stdout, stderr)."""
    versions = {kind: group for group, resources in RESOURCES.items() for kind, _ in resources.values()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.objects = [{"apiVersion": versions[each["kind"]], **each} for each in objects]
    server.writes = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        config = os.path.join(home, "config")
        address = f"http://127.0.0.1:{server.server_port}"
        cluster_of = {"name": "fake", "cluster": {"server": address}}
        context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"kind": "Config", "apiVersion": "v1", "clusters": [cluster_of], "contexts": [context], "users": [{"name": "fake", "user": {}}], "current-context": "fake"}, file)
        binaries = os.path.join(home, "bin")
        os.mkdir(binaries)
        for name in ("KUBECTL", "HELM"):
            os.symlink(os.environ[name], os.path.join(binaries, name.lower()))
        environment = {**os.environ, "HOME": home, "KUBECONFIG": config, "PATH": f"{binaries}:{os.environ['PATH']}"}

        def script(path, *arguments):
            done = subprocess.run([str(path), *arguments], capture_output=True, text=True, env=environment, cwd=home, timeout=120)
            return done.returncode, done.stdout, done.stderr

        script.writes = server.writes
        yield script
    server.shutdown()
    server.server_close()
