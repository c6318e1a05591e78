"""The release workflow: actionlint finds nothing, and its scripts, run with stand-ins for the tools that publish, do what
the documents promise."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml
from rendered import ROOT

WORKFLOWS = ROOT / ".github/workflows"
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
IMAGE = "ghcr.io/azurelustre-csi/azurelustre-csi"
DIGEST = "sha256:" + "d" * 64

# Each writes its arguments into $LOG and reads a password. docker and helm print a digest where one is requested.
STAND_INS = {
    "docker": 'case "$*" in *inspect*) echo "$DIGEST" ;; esac',
    "cosign": "case $* in *--bundle*) touch SHA256SUMS.sigstore.json ;; esac",
    "syft": "touch sbom.json",
    "gh": "",
    "helm": 'case $1 in package) exec "$HELM" "$@" ;; push) echo "Digest: $DIGEST" ;; esac',
}
# What writes it would else be ended by a signal, now and then.
PASSWORD = "case $* in *--password-stdin*) cat >/dev/null ;; esac"


def step(job, name):
    workflow = yaml.safe_load((WORKFLOWS / "release.yml").read_text())
    return next(each for each in workflow["jobs"][job]["steps"] if each.get("name") == name)


class Runner:
    """A folder in which steps of the workflow run, with stand-ins first on the path."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        tools = self.folder / "tools"
        tools.mkdir()
        for name, answer in STAND_INS.items():
            (tools / name).write_text(f'#!/usr/bin/env bash\necho "{name} $*" >>"$LOG"\n{PASSWORD}\n{answer}\n')
            (tools / name).chmod(0o755)
        (tools / "kubectl").symlink_to(os.environ["KUBECTL"])
        for name in ("deploy", "Cargo.toml"):
            (self.folder / name).symlink_to(ROOT / name)
        self.variables = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "LOG": str(self.folder / "log"),
            "IMAGE": IMAGE,
            "CHARTS": "oci://ghcr.io/azurelustre-csi/charts",
            "DIGEST": DIGEST,
            "TOKEN": "token",
            "GITHUB_ACTOR": "actor",
            "GITHUB_REF_NAME": f"v{VERSION}",
            "GITHUB_REPOSITORY": "azurelustre-csi/azurelustre-csi",
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
        }

    def run(self, job, name):
        """Runs a step as GitHub does with `shell: bash`."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(job, name)["run"]]
        done = subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def log(self):
        return (self.folder / "log").read_text().splitlines()


class Release(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.runner = Runner(folder.name)

    def text(self, name):
        return (self.runner.folder / name).read_text()

    def test_actionlint_finds_nothing(self):
        files = sorted(WORKFLOWS.glob("*.yml"))
        self.assertTrue(files)
        done = subprocess.run([os.environ["ACTIONLINT"], "-no-color", *files], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_base_images_are_resolved_to_digests(self):
        self.runner.run("check", "Digests of the base images")
        found = dict(line.split("=", 1) for line in self.text("output").splitlines())
        self.assertEqual(sorted(found), ["certificates", "rust"])
        for name, reference in found.items():
            default = re.search(rf"^ARG {name.upper()}=(.*)$", (ROOT / "deploy/image/Dockerfile").read_text(), re.M)[1]
            self.assertEqual(reference, f"{default}@{DIGEST}")

    def test_a_tag_that_is_not_the_version_ends_the_release(self):
        self.runner.run("check", "The tag is the version of Cargo.toml")
        self.runner.variables["GITHUB_REF_NAME"] = "v99.0.0"
        with self.assertRaises(AssertionError):
            self.runner.run("check", "The tag is the version of Cargo.toml")

    def test_each_variant_is_one_tag_of_both_architectures_and_signed_by_digest(self):
        for number, variant in enumerate(("driver", "simulator")):
            for runner in ("ubuntu-24.04", "ubuntu-24.04-arm"):
                folder = self.runner.folder / f"artifacts/digest-{variant}-{runner}"
                folder.mkdir(parents=True)
                (folder / f"{number}{'a' if 'arm' in runner else 'b'}").touch()
        self.runner.run("sign", "One tag for both architectures, signed by digest")
        log = self.runner.log()
        for number, suffix in ((0, ""), (1, "-simulator")):
            create = next(line for line in log if f"--tag {IMAGE}:v{VERSION}{suffix} " in line)
            self.assertEqual(set(create.split()[-2:]), {f"{IMAGE}@sha256:{number}a", f"{IMAGE}@sha256:{number}b"})
        self.assertEqual(log.count(f"cosign sign --yes --recursive {IMAGE}@{DIGEST}"), 2)
        self.assertEqual(sum(line.startswith("cosign attest --yes --type spdxjson") for line in log), 2)
        self.assertEqual(self.text("output"), f"digest={DIGEST}\n")

    def test_what_is_published_names_the_image_by_digest(self):
        self.runner.run("publish", "Chart, manifests and scripts with the image's digest")
        manifests = list(yaml.safe_load_all(self.text("out/azurelustre-csi.yaml")))
        images = re.findall(r"image: (\S*azurelustre-csi/azurelustre-csi\S*)", self.text("out/azurelustre-csi.yaml"))
        self.assertGreaterEqual(len(images), 2)
        self.assertEqual(set(images), {f"{IMAGE}:v{VERSION}@{DIGEST}"})
        self.assertEqual(len([each for each in manifests if each["kind"] == "DaemonSet"]), 1)
        sums = {line.split()[1].removeprefix("./") for line in self.text("out/SHA256SUMS").splitlines()}
        files = {path.name for path in (self.runner.folder / "out").iterdir()}
        self.assertEqual(sums, files - {"SHA256SUMS", "SHA256SUMS.sigstore.json"})
        self.assertLessEqual({"install-driver.sh", "uninstall-driver.sh", "values-aks-automatic.yaml", f"azurelustre-csi-{VERSION}.tgz"}, sums)

    def test_the_chart_is_pushed_and_signed_by_digest(self):
        (self.runner.folder / "out").mkdir()
        (self.runner.folder / "out/chart.tgz").touch()
        self.runner.run("publish", "Chart as an OCI artefact, signed")
        self.assertIn(f"cosign sign --yes ghcr.io/azurelustre-csi/charts/azurelustre-csi@{DIGEST}", self.runner.log())

    def test_the_notes_and_the_readme_verify_the_same_identity(self):
        (self.runner.folder / "out").mkdir()
        self.runner.run("publish", "Release with the commands that verify it")
        notes = " ".join(self.text("notes.md").replace("\\\n", " ").split())
        self.assertIn(f"{IMAGE}@{DIGEST}", notes)
        readme = re.search(r"`(cosign verify .*?)`", (ROOT / "README.md").read_text())[1]
        self.assertIn(readme.replace("sha256:DIGEST", DIGEST), notes)
