"""helm's own checks, and the notes after an installation."""

import os
import subprocess
import unittest

from rendered import CHART, values_files


def helm(*arguments):
    return subprocess.run([os.environ["HELM"], *arguments], capture_output=True, text=True)


def notes(*arguments):
    done = helm("install", "release", str(CHART), "--namespace", "lustre", "--dry-run=client", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("NOTES:")[1]


class Chart(unittest.TestCase):
    def test_lint_finds_nothing_in_any_value_set(self):
        for name, values in values_files().items():
            done = helm("lint", "--strict", "--quiet", str(CHART), "--values", str(values))
            self.assertEqual(done.returncode, 0, f"{name}: {done.stdout}{done.stderr}")

    def test_it_packages(self):
        done = helm("package", str(CHART), "--destination", os.environ.get("TMPDIR", "/tmp"))
        self.assertEqual(done.returncode, 0, done.stderr)
        os.remove(done.stdout.split(": ")[1].strip())


class Notes(unittest.TestCase):
    def test_the_notes_warn_of_simulated_azure(self):
        text = notes("--set", "driver.cloud=simulator")
        self.assertIn("*** SIMULATED AZURE", text)
        self.assertIn("lost when it restarts", text)
        self.assertIn("nodes share no data", text)
        self.assertNotIn("SIMULATED", notes())

    def test_values_without_effect_are_named(self):
        text = notes("--values", str(values_files()["go-driver-0.6"]))
        for name in ("node.noble.resources", "preDeleteGuard", "paths.dev", "paths.osRelease"):
            self.assertIn(name, text)
        self.assertNotIn("paths.kubelet", text)
        self.assertNotIn("lustreClient", text)

    def test_the_notes_explain_the_source_of_the_lustre_client(self):
        self.assertIn("Last State", notes())
        self.assertIn("node.setup.enabled is false", notes("--set", "node.setup.enabled=false"))
        for other in ("driver.cloud=simulator", "driver.mountFsType=tmpfs"):
            self.assertNotIn("Lustre client", notes("--set", other))

    def test_the_subject_of_the_identity_is_named(self):
        text = notes("--values", str(values_files()["workload-identity"]))
        self.assertIn("system:serviceaccount:lustre:csi-azurelustre-controller-sa", text)

    def test_leftovers_of_the_go_driver_are_named(self):
        self.assertIn("csi-azurelustre-controller-secret-binding csi-azurelustre-node-secret-binding", notes())
