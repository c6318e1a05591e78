"""install-driver.sh and uninstall-driver.sh: what they refuse, and what they would do, read from --dry-run."""

import json
import re
import subprocess
import unittest

from fake_api import cluster
from rendered import ROOT

DRIVER = "azurelustre.csi.azure.com"
INSTALL, UNINSTALL = ROOT / "deploy/install-driver.sh", ROOT / "deploy/uninstall-driver.sh"
NODE, CONTROLLER = "csi-azurelustre-node", "csi-azurelustre-controller"


def thing(kind, name, namespace=None, labels=None, annotations=None, **fields):
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    if namespace:
        metadata["namespace"] = namespace
    return {"kind": kind, "metadata": metadata, **fields}


def workload(kind, name, selector, namespace="kube-system", applied=True, release=None, ours=False):
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}\n"} if applied else {}
    if release:
        annotations |= {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
    labels = {"app.kubernetes.io/name": "azurelustre-csi"} if ours else {}
    return thing(kind, name, namespace, labels, annotations, spec={"selector": {"matchLabels": selector}})


def go_0_3():
    return [workload("DaemonSet", NODE, {"app": NODE}), workload("Deployment", CONTROLLER, {"app": CONTROLLER})]


def go_0_4():
    nodes = [workload("DaemonSet", f"{NODE}-{flavor}", {"app": NODE, "flavor": flavor}) for flavor in ("jammy", "noble")]
    return [*nodes, workload("Deployment", CONTROLLER, {"app": CONTROLLER})]


def go_0_6(release=None, prefix="csi-azurelustre"):
    component = "app.kubernetes.io/component"
    nodes = [
        workload("DaemonSet", f"{prefix}-node-{flavor}", {"app": NODE, "flavor": flavor, component: "node"}, applied=not release, release=release)
        for flavor in ("jammy", "noble", "azurelinux3")
    ]
    controller = workload("Deployment", f"{prefix}-controller", {"app": CONTROLLER, component: "controller"}, applied=not release, release=release)
    return [*nodes, controller]


def go_helm():
    annotations = {"meta.helm.sh/release-name": "azurelustre", "meta.helm.sh/release-namespace": "kube-system"}
    subjects = [{"kind": "ServiceAccount", "name": f"{NODE}-sa", "namespace": "kube-system"}]
    return [
        *go_0_6("azurelustre", "azurelustre-azurelustre-csi-driver"),
        thing("Secret", "sh.helm.release.v1.azurelustre.v1", "kube-system", {"owner": "helm", "name": "azurelustre"}),
        thing("CSIDriver", DRIVER, annotations=annotations),
        thing("ServiceAccount", f"{NODE}-sa", "kube-system", annotations=annotations),
        thing("ClusterRoleBinding", "azurelustre-azurelustre-csi-driver-node", annotations=annotations, subjects=subjects),
        thing("PodDisruptionBudget", "azurelustre-azurelustre-csi-driver-controller", "kube-system", annotations=annotations, spec={"selector": {"matchLabels": {"app": CONTROLLER}}}),
    ]


def volume(name="pv", handle="v#lustrefs#10.0.0.4##f#", claim="claim", phase="Bound"):
    csi = {"driver": DRIVER, "volumeHandle": handle}
    spec = {"csi": csi, "claimRef": {"namespace": "default", "name": claim}, "persistentVolumeReclaimPolicy": "Retain"}
    return thing("PersistentVolume", name, spec=spec, status={"phase": phase})


def pod(name, node, claim=None, app=None, phase="Running", ephemeral=None):
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    volumes += [{"name": ephemeral, "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteMany"]}}}}] if ephemeral else []
    namespace = "kube-system" if app else "default"
    return thing("Pod", name, namespace, {"app": app} if app else {}, spec={"nodeName": node, "volumes": volumes}, status={"phase": phase})


def extension():
    crd = thing("CustomResourceDefinition", "extensionconfigs.clusterconfig.azure.com")
    return [crd, thing("ExtensionConfig", "azurelustre", "kube-system", spec={"extensionType": "Microsoft.AzureManagedLustre"})]


def plan(objects, *arguments):
    with cluster([thing("Namespace", "kube-system"), *objects]) as script:
        code, out, err = script(INSTALL, "--local", "--dry-run", *arguments)
        assert not script.writes, script.writes
    return code, out, err


def shell_scripts():
    """Every file of the project that a shell runs."""
    files = [path for folder in (".ci", "deploy", "scripts", "tests") for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    return [path for path in files if re.match(rb"#!.*\b(ba)?sh\n", path.read_bytes()[:64])]


class Shell(unittest.TestCase):
    def test_shellcheck_finds_nothing(self):
        scripts = shell_scripts()
        self.assertLessEqual({INSTALL, UNINSTALL, ROOT / "deploy/e2e/run.sh", ROOT / "scripts/cluster"}, set(scripts))
        done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_a_wrong_argument_is_named(self):
        for script in (INSTALL, UNINSTALL):
            done = subprocess.run([script, "--namespce", "x"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn("--namespce", done.stderr)

    def test_the_script_installs_the_release_that_it_belongs_to(self):
        cargo = (ROOT / "Cargo.toml").read_text()
        self.assertIn(f'version = "{INSTALL.read_text().split("VERSION=")[1].split()[0]}"', cargo)


class Install(unittest.TestCase):
    def done(self, objects, *arguments):
        code, out, err = plan(objects, *arguments)
        self.assertEqual(code, 0, err)
        for line in out.splitlines():
            self.assertNotRegex(line, r"delete.*csidriver", "the CSIDriver is never deleted")
        return [line.removeprefix("would run: ") for line in out.splitlines() if line.startswith("would run: ")]

    def refused(self, objects, *arguments):
        code, out, err = plan(objects, *arguments)
        self.assertEqual(code, 1, out)
        self.assertNotIn("would run: kubectl delete", out)
        return err

    def deleted(self, steps):
        return [step.split()[2:4] for step in steps if "--cascade=orphan" in step]

    def test_an_empty_cluster(self):
        steps = self.done([])
        self.assertEqual(self.deleted(steps), [])
        self.assertTrue(any(step.startswith("kubectl apply -f") for step in steps))

    def test_another_namespace_is_created(self):
        self.assertIn("kubectl create namespace lustre", self.done([], "--namespace", "lustre"))

    def test_0_3_is_replaced_in_place(self):
        self.assertEqual(self.deleted(self.done(go_0_3())), [])

    def test_0_3_by_the_chart_is_not_adopted_with_its_old_fields(self):
        steps = self.done(go_0_3(), "--helm")
        self.assertEqual(self.deleted(steps), [["daemonset", NODE], ["deployment", CONTROLLER]])

    def test_0_4_gives_its_daemonsets_up_but_not_their_pods(self):
        steps = self.done(go_0_4())
        self.assertEqual(self.deleted(steps), [["daemonset", f"{NODE}-jammy"], ["daemonset", f"{NODE}-noble"]])
        self.assertLess(steps.index(next(s for s in steps if "orphan" in s)), steps.index(next(s for s in steps if "apply" in s)))

    def test_0_6_gives_its_deployment_up_too(self):
        steps = self.done(go_0_6())
        self.assertEqual(len(self.deleted(steps)), 4)
        self.assertIn(["deployment", CONTROLLER], self.deleted(steps))

    def test_a_helm_release_is_forgotten_not_uninstalled(self):
        steps = self.done(go_helm())
        self.assertIn("kubectl delete secrets --namespace kube-system -l owner=helm,name=azurelustre", steps)
        self.assertFalse(any("helm uninstall" in step for step in steps))
        self.assertIn("kubectl annotate csidriver/azurelustre.csi.azure.com --namespace kube-system meta.helm.sh/release-name- meta.helm.sh/release-namespace-", steps)
        leftovers = [step for step in steps if "azurelustre-azurelustre-csi-driver" in step and "orphan" not in step]
        self.assertEqual([step.split()[2] for step in leftovers], ["clusterrolebinding", "poddisruptionbudget"])

    def test_an_interrupted_take_over_of_a_helm_release_still_clears_its_bindings(self):
        rest = [each for each in go_helm() if each["kind"] not in ("DaemonSet", "Deployment", "Secret")]
        steps = self.done(rest)
        self.assertTrue(any("clusterrolebinding azurelustre-azurelustre-csi-driver-node" in step for step in steps))
        budget = [each for each in rest if each["kind"] == "PodDisruptionBudget"]
        self.assertTrue(any("delete poddisruptionbudget azurelustre-azurelustre" in step for step in self.done(budget)))

    def test_rights_to_read_secrets_are_taken_back(self):
        steps = self.done(go_0_4())
        binding = next(step for step in steps if "delete clusterrolebinding" in step)
        self.assertIn("csi-azurelustre-controller-secret-binding csi-azurelustre-node-secret-binding", binding)

    def test_orphans_are_replaced_after_they_were_adopted(self):
        orphan = pod("old", "n1", app=NODE)
        steps = self.done([*go_0_4(), orphan, volume(), pod("user", "n1", claim="claim")])
        apply = steps.index(next(s for s in steps if "apply" in s))
        self.assertEqual(steps[apply + 1], "kubectl label pod/old pod-template-generation-")

    def test_the_extension_is_to_be_disabled_first(self):
        err = self.refused([*extension(), *go_helm()])
        self.assertIn("az aks update --resource-group GROUP --name CLUSTER --disable-azure-managed-lustre", err)

    def test_another_namespace_is_no_take_over(self):
        err = self.refused(go_0_4(), "--namespace", "lustre")
        self.assertIn("--namespace kube-system", err)

    def test_our_own_release_stays_with_helm(self):
        ours = [workload("DaemonSet", NODE, {"app": NODE}, applied=False, release="lustre", ours=True)]
        self.assertIn("--helm", self.refused(ours))
        self.assertEqual(self.deleted(self.done(ours, "--helm")), [])

    def test_two_copies_are_refused(self):
        ours = [workload("DaemonSet", NODE, {"app": NODE}, namespace="lustre", ours=True)]
        self.assertIn("--namespace lustre", self.refused(ours))

    def test_node_setup_loads_what_the_old_pods_unload(self):
        base = [*go_0_4(), volume(), pod("driver-1", "n1", app=NODE), pod("driver-2", "n2", app=NODE)]
        self.done(base)
        self.done(base, "--helm")

    def test_modules_that_would_go_are_a_reason_to_stop(self):
        without = ("--helm", "--", "--set", "node.setup.enabled=false")
        base = [*go_0_4(), volume(), pod("driver-1", "n1", app=NODE), pod("driver-2", "n2", app=NODE)]
        user = pod("user", "n1", claim="claim")
        self.assertIn("n1 n2", self.refused(base, *without))
        err = self.refused([*base, user], *without)
        self.assertIn("not loaded again: n2", err)
        for done in (pod("user-2", "n2", claim="claim", phase="Succeeded"), pod("user-2", "n2", claim="other")):
            self.assertIn("not loaded again: n2", self.refused([*base, user, done], *without))
        self.done([*base, user, pod("user-2", "n2", claim="claim")], *without)
        self.done(base, "--lustre-stays", *without)
        self.done(base, *without, "--set", "driver.mountFsType=tmpfs")

    def test_an_ephemeral_volume_keeps_the_modules(self):
        base = [*go_0_4(), volume(claim="user-scratch"), pod("driver-1", "n1", app=NODE)]
        self.done([*base, pod("user", "n1", ephemeral="scratch")], "--helm", "--", "--set", "node.setup.enabled=false")

    def test_values_that_do_not_render_change_nothing(self):
        self.assertIn("does not render", self.refused(go_0_4(), "--helm", "--", "--set", "controller.replica=3"))

    def test_volumes_are_checked_before_anything_changes(self):
        _, out, _ = plan([*go_0_3(), volume(), pod("user", "n1", claim="claim")])
        self.assertLess(out.index("checking 1 volumes and 0 classes"), out.index("would run: kubectl apply"))


class Uninstall(unittest.TestCase):
    def plan(self, objects):
        with cluster([thing("Namespace", "kube-system"), *objects]) as script:
            result = script(UNINSTALL, "--dry-run")
            assert not script.writes, script.writes
        return result

    def test_volumes_of_every_phase_are_named_with_what_is_billed(self):
        for phase in ("Bound", "Released", "Available", "Failed"):
            code, out, err = self.plan([volume("pv-1", "pvc-1#lustrefs#10.0.0.4##t#hpc", phase=phase), volume("pv-2", "x#lustrefs#10.0.0.5#t#f#")])
            self.assertEqual(code, 1)
            self.assertIn(f"pv-1 ({phase}", out)
            self.assertIn("AMLFS pvc-1 in resource group hpc", out)
            self.assertNotIn("AMLFS x", out)
            self.assertNotIn("would run", out)

    def test_volumes_of_other_drivers_do_not_count(self):
        other = thing("PersistentVolume", "disk", spec={"csi": {"driver": "disk.csi.azure.com", "volumeHandle": "d"}}, status={"phase": "Bound"})
        self.assertEqual(self.plan([other])[0], 0)

    def test_a_claim_that_waits_may_have_a_file_system(self):
        lustre = thing("StorageClass", "lustre", provisioner=DRIVER)
        claim = thing("PersistentVolumeClaim", "waiting", "hpc", spec={"storageClassName": "lustre"}, status={"phase": "Pending"})
        code, out, err = self.plan([lustre, claim])
        self.assertEqual((code, "hpc/waiting" in err, "would run" in out), (1, True, False))
        bound = {**claim, "status": {"phase": "Bound"}}
        self.assertEqual(self.plan([lustre, bound])[0], 0)

    def test_the_csidriver_goes_last(self):
        code, out, err = self.plan([*go_0_3(), thing("CSIDriver", DRIVER)])
        self.assertEqual(code, 0, err)
        steps = [line for line in out.splitlines() if line.startswith("would run")]
        self.assertIn(f"delete csidriver/{DRIVER}", steps[-1])
        self.assertEqual(sum("csidriver" in step for step in steps), 1)

    def test_a_helm_release_is_uninstalled_by_helm(self):
        code, out, err = self.plan([workload("DaemonSet", NODE, {"app": NODE}, applied=False, release="lustre", ours=True)])
        self.assertEqual(code, 0, err)
        self.assertIn("would run: helm uninstall lustre --namespace kube-system --wait", out)
