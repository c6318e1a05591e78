"""Rules of operation of every rendered object, for all value sets."""

import functools
import re
import unittest
from fractions import Fraction

import yaml
from rendered import (
    CHART,
    ROOT,
    all_sets,
    container,
    containers,
    helm,
    of_kind,
    one,
    pod_templates,
    render,
    values_files,
    volumes,
)
from test_examples import examples

AUTOMATIC = str(values_files()["aks-automatic"])
STARTUP_TAINTS = [
    "azurelustre.csi.azure.com/agent-not-ready",
    "startup-taint.cluster-autoscaler.kubernetes.io/azurelustre-agent-not-ready",
]


BINARY = {unit: 2 ** (10 * power) for power, unit in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
DECIMAL = {unit: Fraction(1000) ** power for power, unit in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)}


def quantity(text):
    """A quantity in base units."""
    number, exponent, unit = re.fullmatch(r"([0-9.]+)(?:[eE]([0-9]+))?([a-zA-Z]*)", str(text)).groups()
    return Fraction(number) * 10 ** int(exponent or 0) * {**DECIMAL, **BINARY}[unit]


def canonical(text):
    """The form in which the API server writes it back: without fraction, by the largest unit that allows that."""
    value, units = quantity(text), BINARY if text.endswith("i") and quantity(text) >= 1024 else DECIMAL
    unit = max((unit for unit in units if (value / units[unit]).denominator == 1), key=units.get)
    return f"{value / units[unit]}{unit}"


def strings(value):
    if isinstance(value, dict):
        for key, each in value.items():
            yield from strings(key)
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    else:
        yield value


def in_each_container(check):
    """Runs a case for each container of each value set, as a sub-test of its own."""

    @functools.wraps(check)
    def case(self):
        for name, documents in all_sets():
            for kind, _, each in containers(documents):
                with self.subTest(f"{name} {kind} {each['name']}"):
                    check(self, kind, each)

    return case


class Rules(unittest.TestCase):
    @in_each_container
    def test_images_name_a_release_or_a_digest(self, kind, each):
        self.assertRegex(each["image"], r"(:v?[0-9][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$")
        self.assertNotIn("latest", each["image"])

    @in_each_container
    def test_every_container_has_probes_and_requests(self, kind, each):
        if each["name"] != "node-setup":
            # Kubernetes refuses probes of init containers.
            self.assertIn("livenessProbe", each)
            self.assertIn("readinessProbe", each)
        self.assertLessEqual({"cpu", "memory"}, set(each["resources"]["requests"]))
        self.assertIn("memory", each["resources"]["limits"])

    def test_quantities_are_canonical(self):
        """Others are written back differently, which GitOps tools show as drift for ever."""
        found = [each["resources"] for _, documents in all_sets() for _, _, each in containers(documents)]
        found += [each["spec"]["resources"] for _, each in examples() if each["kind"] == "PersistentVolumeClaim"]
        found += [{"requests": each["spec"]["capacity"]} for _, each in examples() if each["kind"] == "PersistentVolume"]
        for resources in found:
            for text in [*resources["requests"].values(), *resources.get("limits", {}).values()]:
                self.assertIsInstance(text, str, "a bare number is written back differently")
                self.assertEqual(text, canonical(text))

    def test_what_canonical_means(self):
        for text, expected in (
            ("0.1", "100m"), ("1000m", "1"), ("1500m", "1500m"), ("1024Mi", "1Gi"), ("0.5Gi", "512Mi"), ("1000Mi", "1000Mi"),
            ("1e3", "1k"), ("1000k", "1M"), ("48Ti", "48Ti"), ("1", "1"), ("20Mi", "20Mi"),
        ):  # fmt: skip
            self.assertEqual(canonical(text), expected)

    def test_the_resource_requests_of_the_node(self):
        node = container(render(), "DaemonSet", "azurelustre")
        self.assertLess(quantity(node["resources"]["requests"]["memory"]), 64 * 2**20)

    @in_each_container
    def test_only_what_mounts_and_loads_modules_is_privileged(self, kind, each):
        context = each["securityContext"]
        self.assertTrue(context["readOnlyRootFilesystem"])
        if (kind, each["name"]) in (("DaemonSet", "azurelustre"), ("DaemonSet", "node-setup")):
            self.assertTrue(context["privileged"])
            return
        self.assertNotIn("privileged", context)
        self.assertFalse(context["allowPrivilegeEscalation"])
        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})

    @in_each_container
    def test_privileged_goes_with_bidirectional_propagation_or_modules(self, kind, each):
        bidirectional = [m for m in each["volumeMounts"] if m.get("mountPropagation") == "Bidirectional"]
        privileged = each["securityContext"].get("privileged", False)
        self.assertEqual(bool(bidirectional) or each["name"] == "node-setup", privileged)

    def test_the_controller_is_root_only_for_the_nodes_file(self):
        for name, documents in all_sets():
            for kind, template in pod_templates(documents):
                if kind != "Deployment":
                    continue
                spec, context = template["spec"], template["spec"]["securityContext"]
                host_paths = [v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v]
                if name in ("host-file", "aks-automatic"):
                    self.assertEqual((context["runAsUser"], host_paths), (0, ["/etc/kubernetes/azure.json"]), name)
                else:
                    self.assertEqual((context["runAsUser"], context["runAsNonRoot"]), (65532, True), name)
                    self.assertEqual(host_paths, [], name)

    @in_each_container
    def test_all_containers_of_a_pod_are_one_user(self, kind, each):
        self.assertNotIn("runAsUser", each["securityContext"])

    def test_rbac_names_what_it_grants(self):
        for name, documents in all_sets():
            for role in of_kind(documents, "ClusterRole") + of_kind(documents, "Role"):
                for rule in role["rules"]:
                    with self.subTest(f"{name} {role['metadata']['name']} {rule}"):
                        self.assertNotIn("*", list(strings(rule)))
                        self.assertNotIn("secrets", rule["resources"])
                        self.assertNotIn("nonResourceURLs", rule)
                        if "leases" in rule["resources"]:
                            self.assertEqual(role["kind"], "Role")

    def test_every_rule_has_its_reason(self):
        for path in ("rbac-controller.yaml", "rbac-node.yaml"):
            lines = (CHART / "templates" / path).read_text().splitlines()
            for number, line in enumerate(lines):
                if line.strip().startswith("- apiGroups"):
                    before = [each.strip() for each in lines[max(0, number - 2) : number]]
                    self.assertTrue(any(each.startswith("#") for each in before), f"{path}:{number + 1}")

    def test_no_version_in_pod_templates(self):
        for name, documents in all_sets():
            for kind, template in pod_templates(documents):
                for key in template["metadata"]["labels"] | template["metadata"]["annotations"]:
                    self.assertNotRegex(key, r"version|chart|managed-by", f"{name} {kind}")

    def test_gitops_tools_see_no_drift(self):
        for name, documents in all_sets():
            for each in documents:
                for path, value in self.walk(each):
                    self.assertIsNotNone(value, f"{name} {each['kind']} {path} is null")
                    if value == {}:
                        self.assertTrue(path.endswith("emptyDir"), f"{name} {each['kind']} {path} is an empty map")
                    self.assertNotEqual(value, [], f"{name} {each['kind']} {path} is an empty list")

    def walk(self, value, path=""):
        yield path, value
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in items:
            yield from self.walk(each, f"{path}.{key}")

    def test_two_renderings_are_the_same(self):
        self.assertEqual(helm(), helm())

    def test_nothing_secret_is_rendered(self):
        for name, documents in all_sets():
            self.assertEqual(of_kind(documents, "Secret"), [], name)
            for _, _, each in containers(documents):
                for variable in each.get("env", []):
                    self.assertNotIn("secretKeyRef", variable.get("valueFrom", {}), name)


class Node(unittest.TestCase):
    def test_startup_taints_are_tolerated_always(self):
        for name, documents in all_sets():
            keys = [each.get("key") for each in one(documents, "DaemonSet")["spec"]["template"]["spec"]["tolerations"]]
            self.assertLessEqual(set(STARTUP_TAINTS), set(keys), name)

    def test_each_term_of_the_affinity_is_for_linux_and_no_virtual_node(self):
        affinity = one(render(), "DaemonSet")["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
        terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        labels = []
        for term in terms:
            rules = {each["key"]: each for each in term["matchExpressions"]}
            self.assertEqual(rules["kubernetes.io/os"]["values"], ["linux"])
            self.assertEqual((rules["type"]["operator"], rules["type"]["values"]), ("NotIn", ["virtual-kubelet"]))
            labels.append(rules["kubernetes.azure.com/os-sku-effective"])
        self.assertEqual(labels[0]["values"], ["Ubuntu2204", "Ubuntu2404", "AzureLinux3"])
        self.assertEqual(labels[1]["operator"], "DoesNotExist")

    def test_endpoints_on_the_hosts_network_are_on_loopback(self):
        for name, documents in all_sets():
            for _, spec, each in containers(documents):
                if not spec.get("hostNetwork"):
                    continue
                for argument in each.get("args", []):
                    if argument.startswith("--http-endpoint"):
                        self.assertRegex(argument, r"=localhost:\d+$", name)
                for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                    for handler in ("httpGet", "tcpSocket"):
                        if handler in each.get(probe, {}):
                            self.assertEqual(each[probe][handler].get("host"), "localhost", f"{name} {each['name']} {probe}")

    def test_tunables_reach_the_driver_and_are_off_by_default(self):
        def tunables(*arguments):
            found = container(render(*arguments), "DaemonSet", "azurelustre")["args"]
            return [each for each in found if re.match("--(osc|mdc)-", each)]

        self.assertEqual(tunables(), [])
        expected = ["--osc-max-rpcs-in-flight=32", "--osc-max-dirty-mb=512", "--mdc-max-rpcs-in-flight=64", "--mdc-max-mod-rpcs-in-flight=50"]
        self.assertEqual(tunables("--values", str(values_files()["everything"])), expected)

    def test_startup_is_waited_for_an_hour(self):
        probe = container(render(), "DaemonSet", "azurelustre")["startupProbe"]
        self.assertEqual(probe["failureThreshold"] * probe["periodSeconds"], 3600)

    def test_what_it_sees_of_its_host(self):
        node, found = container(render(), "DaemonSet", "azurelustre"), volumes(render(), "DaemonSet")
        mounts = {mount["mountPath"]: mount for mount in node["volumeMounts"]}
        private = "/var/lib/azurelustre-csi"
        self.assertEqual(sorted(mounts), ["/csi", "/dev", "/mounts", "/sys/kernel/debug", private, "/var/lib/kubelet"])
        self.assertTrue(mounts[private]["readOnly"])
        self.assertTrue(mounts["/sys/kernel/debug"]["readOnly"])
        self.assertIn("emptyDir", found[mounts["/mounts"]["name"]])
        self.assertIn("--working-mount-dir=/mounts", node["args"])

    def test_another_kubelet_directory_is_used_everywhere(self):
        documents = render("--set", "node.kubeletPath=/data/kubelet/")
        text = yaml.safe_dump(one(documents, "DaemonSet"))
        self.assertNotIn("/var/lib/kubelet", text)
        self.assertNotIn("kubelet//", text)
        self.assertIn("--kubelet-dir=/data/kubelet", container(documents, "DaemonSet", "azurelustre")["args"])


class NodeSetup(unittest.TestCase):
    def pod(self, *arguments):
        return one(render(*arguments), "DaemonSet")["spec"]["template"]["spec"]

    def test_it_sees_the_nodes_root_and_writes_one_directory_of_it(self):
        setup, found = container(render(), "DaemonSet", "node-setup"), volumes(render(), "DaemonSet")
        mounts = {each["mountPath"]: each for each in setup["volumeMounts"]}
        self.assertEqual(sorted(mounts), ["/host", "/host/var/lib/azurelustre-csi"])
        self.assertTrue(mounts["/host"]["readOnly"])
        root, private = (found[mounts[path]["name"]]["hostPath"] for path in sorted(mounts))
        self.assertEqual((root["path"], root["type"]), ("/", "Directory"))
        self.assertEqual((private["path"], private["type"]), ("/var/lib/azurelustre-csi", "DirectoryOrCreate"))

    def test_the_pod_is_on_the_nodes_network_with_its_resolver(self):
        pod = self.pod()
        self.assertEqual((pod["hostNetwork"], pod["dnsPolicy"]), (True, "Default"))
        self.assertEqual([each["name"] for each in pod["initContainers"]], ["node-setup"])
        self.assertEqual(pod["initContainers"][0]["terminationMessagePolicy"], "FallbackToLogsOnError")
        self.assertEqual(pod["initContainers"][0]["resources"]["limits"]["memory"], "256Mi")

    def test_it_is_the_drivers_image(self):
        for name, documents in all_sets():
            pod = one(documents, "DaemonSet")["spec"]["template"]["spec"]
            for each in pod.get("initContainers", []):
                self.assertEqual(each["image"], container(documents, "DaemonSet", "azurelustre")["image"], name)

    def test_its_requests_cost_nothing(self):
        """The scheduler takes the larger one of the init container's and the sum of the containers'."""
        for name, documents in all_sets():
            pod = one(documents, "DaemonSet")["spec"]["template"]["spec"]
            for each in pod.get("initContainers", []):
                for resource, amount in each["resources"]["requests"].items():
                    total = sum(quantity(other["resources"]["requests"][resource]) for other in pod["containers"])
                    self.assertLessEqual(quantity(amount), total, f"{name} {resource}")

    def test_it_is_left_out_where_nothing_of_lustre_is_mounted(self):
        for settings in ("node.setup.enabled=false", "driver.mountFsType=tmpfs", "driver.mounter=simulator", "driver.cloud=simulator"):
            pod = self.pod("--set", settings)
            self.assertNotIn("initContainers", pod, settings)
            self.assertNotIn("host-root", [each["name"] for each in pod["volumes"]], settings)

    def test_simulated_lnet_runs_anywhere_with_the_simulators_image(self):
        pod = self.pod("--set", "node.setup.lnet=simulated,driver.mountFsType=tmpfs,node.setup.hostRoot=/stub/")
        [setup] = pod["initContainers"]
        self.assertIn("--lnet=simulated", setup["args"])
        self.assertRegex(setup["image"], "-simulator$")
        paths = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
        self.assertEqual((paths["host-root"], paths["host-private"]), ("/stub/", "/stub/var/lib/azurelustre-csi"))

    def test_every_value_reaches_it(self):
        setup = container(render("--values", str(values_files()["everything"])), "DaemonSet", "node-setup")
        for argument in (
            "--client-version=azurelinux3=2.17.0-24-gf517bc4,jammy=2.15.8-39-g2d32b59,noble=2.17.0-19-gbb5310f",
            "--install-lustre-client=no",
            "--replace-client=never",
            "--lnet-interfaces=eth0,eth1",
            "--package-url=https://mirror.example.com/amlfs-{os}",
            "--package-key-file=/etc/azurelustre-csi/node-setup/key.asc",
            f"--package-sha256={'c' * 64}",
            "--ptlrpcd-per-cpt-max=32",
            "--ksocklnd-credits=2560",
            "--dry-run",
        ):
            self.assertIn(argument, setup["args"])
        variables = {each["name"]: each["value"] for each in setup["env"]}
        self.assertEqual(variables["https_proxy"], "http://proxy.example.com:3128")
        self.assertEqual(sorted(variables), ["http_proxy", "https_proxy", "no_proxy"])
        key = one(render("--values", str(values_files()["everything"])), "ConfigMap", "csi-azurelustre-node-setup")["data"]["key.asc"]
        self.assertTrue(key.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"))
        mount = next(each for each in setup["volumeMounts"] if each["mountPath"] == "/etc/azurelustre-csi/node-setup")
        self.assertTrue(mount["readOnly"])

    def test_default_clients_are_those_of_the_driver(self):
        releases = (ROOT / "src/adapters/node_setup/os.rs").read_text()
        versions = yaml.safe_load((CHART / "values.yaml").read_text())["node"]["setup"]["clientVersion"]
        rows = re.findall(r'key: "([^"]+)", name: "[^"]+", client: "([^"]+)"', releases)
        self.assertEqual(versions, dict(rows))


class Controller(unittest.TestCase):
    def test_the_provisioner_has_the_flags_that_keep_claims_moving(self):
        arguments = container(render(), "Deployment", "csi-provisioner")["args"]
        for flag in (
            "--extra-create-metadata=true",
            "--leader-election",
            "--leader-election-retry-period=1s",
            "--feature-gates=ReleaseLeaderElectionOnExit=true",
            "--retry-interval-max=60s",
            "--kube-api-qps=50",
            "--kube-api-burst=100",
        ):
            self.assertIn(flag, arguments)
        timeout = next(each for each in arguments if each.startswith("--timeout="))
        self.assertRegex(timeout, r"=[1-5]m$")

    def test_a_drain_takes_one_of_two(self):
        self.assertEqual(one(render(), "PodDisruptionBudget")["spec"]["maxUnavailable"], 1)
        self.assertEqual(one(render(), "Deployment")["spec"]["replicas"], 2)

    def test_a_cluster_of_one_node_runs_both(self):
        spread = one(render(), "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
        self.assertEqual({each["whenUnsatisfiable"] for each in spread}, {"ScheduleAnyway"})

    def test_no_resizer_by_default(self):
        names = [each["name"] for _, _, each in containers(render())]
        self.assertNotIn("csi-resizer", names)

    def test_the_token_stays_with_the_driver(self):
        documents = render("--values", str(values_files()["workload-identity"]))
        template = dict(pod_templates(documents))["Deployment"]
        self.assertEqual(template["metadata"]["labels"]["azure.workload.identity/use"], "true")
        skipped = template["metadata"]["annotations"]["azure.workload.identity/skip-containers"].split(";")
        others = {each["name"] for each in template["spec"]["containers"]} - {"azurelustre"}
        self.assertEqual(set(skipped), others)

    def test_a_projected_token_needs_no_webhook(self):
        documents = render("--values", str(values_files()["projected-token"]))
        template = dict(pod_templates(documents))["Deployment"]
        self.assertNotIn("azure.workload.identity/use", template["metadata"]["labels"])
        source = volumes(documents, "Deployment")["azure-identity-token"]["projected"]["sources"][0]["serviceAccountToken"]
        self.assertEqual((source["audience"], source["expirationSeconds"]), ("api://AzureADTokenExchange", 7200))
        variables = {each["name"]: each.get("value") for each in container(documents, "Deployment", "azurelustre")["env"]}
        self.assertTrue(variables["AZURE_FEDERATED_TOKEN_FILE"].endswith("/azure-identity-token"))

    def test_the_simulated_cloud_is_one_process(self):
        documents = render("--values", str(values_files()["simulator"]))
        controller = one(documents, "Deployment")["spec"]
        self.assertEqual(controller["replicas"], 1)
        self.assertEqual(controller["strategy"], {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
        for kind in ("Deployment", "DaemonSet"):
            self.assertRegex(container(documents, kind, "azurelustre")["image"], r"-simulator$")
        self.assertIn("--cloud=simulator", container(documents, "Deployment", "azurelustre")["args"])
        self.assertIn("--mounter=simulator", container(documents, "DaemonSet", "azurelustre")["args"])


class Automatic(unittest.TestCase):
    def test_the_safeguards_least_requests(self):
        for _, _, each in containers(render("--values", AUTOMATIC)):
            requests = each["resources"]["requests"]
            self.assertGreaterEqual(quantity(requests["cpu"]), quantity("100m"), each["name"])
            self.assertGreaterEqual(quantity(requests["memory"]), quantity("100Mi"), each["name"])

    def test_no_toleration_that_it_refuses(self):
        for _, template in pod_templates(render("--values", AUTOMATIC)):
            for each in template["spec"]["tolerations"]:
                self.assertIn("key", each)
                self.assertNotEqual(each["key"], "CriticalAddonsOnly")

    def test_nothing_is_in_kube_system(self):
        for each in render("--values", AUTOMATIC):
            self.assertNotEqual(each["metadata"].get("namespace"), "kube-system")
