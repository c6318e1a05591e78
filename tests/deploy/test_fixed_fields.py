"""Selectors, names, ports and the CSIDriver object, compared with the committed list that may never change."""

import re
import unittest

import yaml
from rendered import CHART, MANIFESTS, ROOT, TESTS, all_sets, container, objects, of_kind, one

FIXED = yaml.safe_load((TESTS / "fixed_fields.yaml").read_text())


def manifests():
    return [each for path in sorted(MANIFESTS.glob("*.yaml")) for each in objects(path.read_text())]


class FixedFields(unittest.TestCase):
    def test_every_value_set_and_the_manifests_keep_them(self):
        for name, documents in [*all_sets(), ("manifests", manifests())]:
            with self.subTest(name):
                self.check(name, documents)

    def check(self, name, documents):
        driver = one(documents, "CSIDriver")
        self.assertEqual(driver["metadata"]["name"], FIXED["CSIDriver"]["name"])
        self.assertEqual(driver["spec"], FIXED["CSIDriver"]["spec"])
        kinds = ["DaemonSet"] if name == "node-only" else ["DaemonSet", "Deployment"]
        for kind in kinds:
            workload = one(documents, kind)
            self.assertEqual(workload["metadata"]["name"], FIXED[kind]["name"])
            self.assertEqual(workload["spec"]["selector"], FIXED[kind]["selector"])
            self.assertIn(FIXED["container"], [each["name"] for each in workload["spec"]["template"]["spec"]["containers"]])
        accounts = [account["metadata"]["name"] for account in of_kind(documents, "ServiceAccount")]
        self.assertEqual(sorted(accounts), FIXED["serviceAccounts"] if len(kinds) == 2 else FIXED["serviceAccounts"][1:])
        self.check_ports(documents, kinds)

    def check_ports(self, documents, kinds):
        node = container(documents, "DaemonSet", FIXED["container"])
        self.assertEqual([port["containerPort"] for port in node["ports"]], [FIXED["ports"]["node"]])
        if "Deployment" in kinds:
            controller = container(documents, "Deployment", FIXED["container"])
            self.assertEqual([port["containerPort"] for port in controller["ports"]], [FIXED["ports"]["controller"]])
            self.assertIn(FIXED["lease"], one(documents, "Role")["rules"][1]["resourceNames"])

    def test_the_socket_is_where_kubelet_knows_it(self):
        registrar = container(manifests(), "DaemonSet", "node-driver-registrar")
        self.assertIn(f"--kubelet-registration-path={FIXED['socket']}", registrar["args"])

    def test_node_setup_keeps_its_name_and_its_directory(self):
        """Documents name the container; nodes that are there hold modules in the directory."""
        setup = container(manifests(), "DaemonSet", FIXED["initContainer"])
        self.assertIn(f"/host{FIXED['privateDirectory']}", [each["mountPath"] for each in setup["volumeMounts"]])

    def test_no_name_holds_the_release(self):
        for name, documents in all_sets():
            self.assertNotIn("name-of-the-release", yaml.safe_dump(documents), name)

    def test_chart_and_driver_have_one_version(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        cargo = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertEqual((chart["version"], chart["appVersion"]), (cargo, cargo))

    def test_nothing_is_made_by_a_hook(self):
        for name, documents in all_sets():
            for each in documents:
                self.assertNotIn("helm.sh/hook", each["metadata"].get("annotations", {}), name)

    def test_helm_keeps_the_csidriver(self):
        for name, documents in all_sets():
            annotations = one(documents, "CSIDriver")["metadata"]["annotations"]
            self.assertEqual(annotations["helm.sh/resource-policy"], "keep", name)
