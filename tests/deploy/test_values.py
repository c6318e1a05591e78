"""Values: typos are refused by name, mixtures with the cure, and those of the Go driver's chart are read."""

import re
import unittest

import yaml
from rendered import CHART, container, containers, one, pod_templates, refusal, render, values_files, volumes

SUBSCRIPTION = "azure.subscriptionId=s"
CLIENT = "workloadIdentity.clientID=c"


class Refused(unittest.TestCase):
    def test_a_typo_is_named(self):
        for setting, name in (
            ("controler.replicas=3", "controler"),
            ("controller.replica=3", "replica"),
            ("controller.resizer.enable=true", "enable"),
            ("node.toleration[0].operator=Exists", "toleration"),
            ("node.noble.affinityOsSku[0]=Ubuntu2404", "affinityOsSku"),
            ("node.kubeletDir=/x", "kubeletDir"),
            ("node.setup.clientVersion.jamy=2.15.8-1-g1", "jamy"),
            ("node.setup.packageUrl=https://x", "packageUrl"),
            ("image.repo=x", "repo"),
            ("azure.subscriptionID=x", "subscriptionID"),
            ("azure.existingsecret=x", "existingsecret"),
            ("workloadIdentity.clientId=x", "clientId"),
            ("sidecars.provisioner.timeOut=1m", "timeOut"),
            ("sidecars.registrar.tag=v1", "registrar"),
            ("driver.clod=arm", "clod"),
            ("storageClasses[0].reclaimpolicy=Retain", "reclaimpolicy"),
            ("csidriver.create=true", "create"),
            ("paths.kublet=/x", "kublet"),
            ("serviceAccount.name=x", "name"),
            ("rbac.created=true", "created"),
        ):
            with self.subTest(setting):
                self.assertIn(f"'{name}'", refusal(setting))

    def test_every_map_of_ours_is_strict(self):
        """An unknown key is rejected in every map of the default values, except pass-through ones."""
        free = {"resources", "nodeSelector", "affinity", "requests", "limits", "podLabels", "podAnnotations", "tolerations"}
        values = yaml.safe_load((CHART / "values.yaml").read_text())

        def maps(value, path):
            yield path
            for key, each in value.items():
                if isinstance(each, dict) and key not in free:
                    yield from maps(each, [*path, key])

        for path in maps(values, []):
            setting = ".".join([*path, "noSuchKey"])
            self.assertIn("'noSuchKey'", refusal(f"{setting}=x"), setting)

    def test_values_that_cannot_work_say_why(self):
        for settings, expected in (
            (["image.tag=latest"], "`latest`"),
            (["sidecars.provisioner.tag=latest"], "csi-provisioner"),
            (["driver.cloud=azure"], "/driver/cloud"),
            (["sidecars.provisioner.timeout=15"], "/sidecars/provisioner/timeout"),
            (["node.updateStrategy.maxUnavailable=0"], "maxUnavailable"),
            (["controller.podLabels.app=mine"], "'app'"),
            (["node.setup.lnet=fake"], "/node/setup/lnet"),
            (["node.setup.replaceClient=always"], "/node/setup/replaceClient"),
            (["node.setup.packageKey=secret"], "/node/setup/packageKey"),
            (["node.setup.packageSHA256=abc"], "/node/setup/packageSHA256"),
            (["node.setup.packageURL=https://user:password@mirror"], "/node/setup/packageURL"),
            (["node.setup.packageURL=mirror"], "/node/setup/packageURL"),
            (["node.setup.clientVersion.noble=latest"], "/node/setup/clientVersion/noble"),
            (["node.setup.hostRoot=host"], "/node/setup/hostRoot"),
            (["node.tuning.oscMaxRpcsInFlight=257"], "/node/tuning/oscMaxRpcsInFlight"),
            (["node.tuning.mdcMaxRpcsInFlight=1"], "/node/tuning/mdcMaxRpcsInFlight"),
            (["node.jammy.lustreClient.version=2.15.8"], "needs both version and shaSuffix"),
            (["image.repository=mcr.microsoft.com/oss/v2/kubernetes-csi/azurelustre-csi"], "Go driver's image"),
            (["image.repository=mirror.example.com/oss/v2/kubernetes-csi/azurelustre-csi"], "Go driver's image"),
            (["csidriver.fsGroupPolicy=None"], "fsGroupPolicy"),
            (["csidriver.attachRequired=true"], "attachRequired"),
            (["nodeComponentOnly=true", "driver.cloud=simulator"], "nodeComponentOnly"),
            (["workloadIdentity.tokenExpiration=60"], "tokenExpiration"),
        ):
            with self.subTest(settings):
                self.assertIn(expected, refusal(*settings))

    def test_settings_as_values_and_the_nodes_file_do_not_mix(self):
        for extra in ([SUBSCRIPTION, CLIENT], [CLIENT], ["azure.existingSecret=s"], ["azure.location=eastus"]):
            with self.subTest(extra):
                self.assertIn("cannot be combined", refusal("azure.hostFile=/etc/kubernetes/azure.json", *extra))

    def test_incomplete_settings_say_what_is_missing(self):
        for settings, expected in (
            ([CLIENT], "azure.subscriptionId is missing"),
            (["azure.resourceGroup=hpc"], "azure.subscriptionId is missing"),
            (["IsWorkloadIdentityEnabled=Enabled", "IdentityClientId=c"], "azure.subscriptionId is missing"),
            (["IsWorkloadIdentityEnabled=Enabled"], "workloadIdentity.clientID"),
            ([SUBSCRIPTION], "set now: none"),
            ([SUBSCRIPTION, CLIENT, "azure.existingSecret=s"], "set now: workloadIdentity.clientID, azure.existingSecret"),
            ([SUBSCRIPTION, "azure.existingSecret=s"], "azure.aadClientId and azure.tenantId"),
            ([SUBSCRIPTION, CLIENT, "workloadIdentity.projectToken=true"], "workloadIdentity.tenantID"),
            (["azure.existingSecret=s", "azure.credential=cloudConfig", SUBSCRIPTION], "remove the other keys"),
            (["azure.existingSecret=s", "azure.credential=password"], "/azure/credential"),
            (["driver.cloud=simulator", SUBSCRIPTION], "takes nothing from Azure"),
        ):
            with self.subTest(settings):
                self.assertIn(expected, refusal(*settings))


def defaults_without_reason():
    """Paths of values that are not empty and have no comment, nor a map around them below the top level that has one."""
    around, comment, found = [], False, []
    for line in (CHART / "values.yaml").read_text().splitlines():
        key = re.match(r"( *)([\w./]+):(.*)", line)
        if key:
            depth, name, value = len(key[1]), key[2], key[3].split(" #")[0].strip()
            around = [each for each in around if each[0] < depth]
            reason = comment or " #" in line or any(each[2] for each in around if each[0])
            if value not in ("", '""', "[]", "{}", "0", "false") and not reason:
                found.append(".".join([each[1] for each in around] + [name]))
            around.append((depth, name, comment or " #" in line))
        comment = line.strip().startswith("#")
    return found


class Reasons(unittest.TestCase):
    def test_every_default_has_its_reason(self):
        self.assertEqual(defaults_without_reason(), [])


class Read(unittest.TestCase):
    def from_go(self):
        return render("--values", str(values_files()["go-driver-0.6"]))

    def test_the_go_drivers_names_mean_the_same(self):
        documents = self.from_go()
        account = one(documents, "ServiceAccount", "csi-azurelustre-controller-sa")
        self.assertTrue(account["metadata"]["annotations"]["azure.workload.identity/client-id"].endswith("2"))
        self.assertTrue(account["metadata"]["annotations"]["azure.workload.identity/tenant-id"].endswith("3"))
        self.assertEqual(account["imagePullSecrets"], [{"name": "acr"}])
        node = one(documents, "DaemonSet")["spec"]
        self.assertEqual(node["updateStrategy"]["rollingUpdate"]["maxUnavailable"], "5%")
        terms = node["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        self.assertIn("Ubuntu2004", terms["nodeSelectorTerms"][0]["matchExpressions"][2]["values"])
        self.assertEqual({template["metadata"]["labels"]["example.com/from"] for _, template in pod_templates(documents)}, {"go-driver"})
        versions = next(each for each in container(documents, "DaemonSet", "node-setup")["args"] if "client-version" in each)
        self.assertIn("jammy=2.15.8-40-g1234567,noble=2.17.0", versions)
        registrar = container(documents, "DaemonSet", "node-driver-registrar")
        self.assertIn("--http-endpoint=localhost:29764", registrar["args"])
        self.assertEqual(registrar["imagePullPolicy"], "Always")

    def test_paths_of_the_go_driver(self):
        documents = render("--set", "paths.kubelet=/data/kubelet", "--set", "paths.kubernetes=/data/kubernetes")
        self.assertEqual(volumes(documents, "DaemonSet")["kubelet-dir"]["hostPath"]["path"], "/data/kubelet")
        self.assertEqual(volumes(documents, "Deployment")["host-settings"]["hostPath"]["path"], "/data/kubernetes/azure.json")

    def test_a_mirror_is_one_value(self):
        for _, _, each in containers(render("--set", "image.baseRepo=registry.example.com:5000/mirror/")):
            self.assertRegex(each["image"], r"^registry\.example\.com:5000/mirror/(sig-storage|azurelustre-csi)/[a-z-]+:v[0-9.]+$")

    def test_a_mirrored_repository_without_a_host_keeps_its_path(self):
        documents = render("--set", "image.baseRepo=reg.example.com", "--set", "image.repository=team/driver")
        self.assertRegex(container(documents, "DaemonSet", "azurelustre")["image"], r"^reg\.example\.com/team/driver:v")

    def test_a_digest_wins_over_the_tag(self):
        digest = "sha256:" + "b" * 64
        for value, name in (("image", "azurelustre"), ("sidecars.livenessProbe", "liveness-probe")):
            documents = render("--set", f"{value}.digest={digest}", "--set", f"{value}.tag=v9")
            self.assertTrue(container(documents, "DaemonSet", name)["image"].endswith(f"@{digest}"))

    def test_pull_secrets_are_names_or_objects(self):
        documents = render("--set", "imagePullSecrets[0]=a", "--set", "imagePullSecrets[1].name=b")
        for _, template in pod_templates(documents):
            self.assertEqual(template["spec"]["imagePullSecrets"], [{"name": "a"}, {"name": "b"}])

    def test_settings_of_azure_are_one_file_without_the_credential(self):
        documents = render("--values", str(values_files()["client-secret"]))
        settings = yaml.safe_load(one(documents, "ConfigMap")["data"]["azure.yaml"])
        self.assertEqual(sorted(settings), ["aadClientId", "location", "resourceGroup", "subscriptionId", "tenantId"])
        secret = volumes(documents, "Deployment")["credential"]["secret"]
        self.assertEqual((secret["secretName"], secret["items"][0]["key"]), ("lustre-credential", "clientSecret"))

    def test_a_certificate_is_named_in_the_settings(self):
        documents = render("--values", str(values_files()["client-certificate"]))
        settings = yaml.safe_load(one(documents, "ConfigMap")["data"]["azure.yaml"])
        mount = {each["name"]: each["mountPath"] for each in container(documents, "Deployment", "azurelustre")["volumeMounts"]}
        self.assertEqual(settings["aadClientCertPath"], f"{mount['credential']}/clientCertificate")

    def test_a_proxy_does_not_hide_the_api_server(self):
        documents = render("--set", "driver.httpsProxy=http://proxy:3128", "--set", "driver.noProxy=.corp")
        variables = {each["name"]: each.get("value") for each in container(documents, "Deployment", "azurelustre")["env"]}
        self.assertEqual(variables["NO_PROXY"], ".corp,$(KUBERNETES_SERVICE_HOST)")

    def test_changed_settings_start_new_controllers(self):
        def checksum(group):
            documents = render("--set", SUBSCRIPTION, "--set", CLIENT, "--set", f"azure.resourceGroup={group}")
            return dict(pod_templates(documents))["Deployment"]["metadata"]["annotations"]["checksum/cloud-config"]

        self.assertNotEqual(checksum("a"), checksum("b"))
