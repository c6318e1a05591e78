"""deploy/manifests is what the chart renders, and kustomize takes it."""

import importlib.machinery
import importlib.util
import os
import subprocess
import tempfile
import unittest

import yaml
from rendered import MANIFESTS, ROOT, objects, of_kind


def generator():
    loader = importlib.machinery.SourceFileLoader("chart", str(ROOT / "scripts/chart"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("chart", loader))
    loader.exec_module(module)
    return module


def kustomize(folder):
    command = [os.environ["KUBECTL"], "kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder)]
    return objects(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


class Manifests(unittest.TestCase):
    def test_they_are_what_the_chart_renders(self):
        committed = {path.name: path.read_text() for path in MANIFESTS.iterdir()}
        self.assertEqual(committed, generator().manifests(), "run scripts/chart manifests")

    def test_they_do_not_name_helm_as_their_manager(self):
        for path in MANIFESTS.iterdir():
            self.assertNotRegex(path.read_text(), r"managed-by|helm\.sh/chart")

    def test_kustomize_builds_them_in_another_namespace(self):
        with tempfile.TemporaryDirectory() as folder:
            base = os.path.relpath(MANIFESTS, os.path.realpath(folder))
            overlay = {"kind": "Kustomization", "namespace": "lustre", "resources": [base]}
            with open(os.path.join(folder, "kustomization.yaml"), "w", encoding="utf-8") as file:
                yaml.safe_dump(overlay, file)
            built = kustomize(folder)
        self.assertEqual(len(built), len(kustomize(MANIFESTS)))
        self.assertNotIn("kube-system", yaml.safe_dump(built))
        for binding in of_kind(built, "ClusterRoleBinding"):
            self.assertEqual(binding["subjects"][0]["namespace"], "lustre")
