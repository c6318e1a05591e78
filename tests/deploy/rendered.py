"""What the chart renders, as objects: for all the test cases of this folder."""

import os
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy/helm/azurelustre-csi"
MANIFESTS = ROOT / "deploy/manifests"
TESTS = ROOT / "tests/deploy"
_cache = {}


def values_files():
    """Name → file of every value set, those of this folder and those that the chart ships."""
    files = {path.stem: path for path in sorted((TESTS / "values").glob("*.yaml"))}
    shipped = {path.stem.removeprefix("values-"): path for path in sorted(CHART.glob("values-*.yaml"))}
    return files | shipped


def helm(*arguments):
    """Output of `helm template` with these arguments, or its error as the second of two texts."""
    command = [os.environ["HELM"], "template", "name-of-the-release", str(CHART), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout, done.stderr if done.returncode else ""


def refusal(*settings):
    """The error of rendering with `--set` for each setting; empty if it renders."""
    return helm(*[part for setting in settings for part in ("--set", setting)])[1]


def objects(text):
    return [document for document in yaml.safe_load_all(text) if document]


def render(*arguments):
    if arguments not in _cache:
        output, error = helm("--namespace", "lustre-system", *arguments)
        assert not error, error
        _cache[arguments] = objects(output)
    return _cache[arguments]


def all_sets():
    """(name, objects) of each value set."""
    return [(name, render("--values", str(path))) for name, path in values_files().items()]


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def one(documents, kind, name=None):
    found = [document for document in of_kind(documents, kind) if name in (None, document["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of kind {kind} {name or ''}"
    return found[0]


def pod_templates(documents):
    """(kind, pod template) of each workload."""
    return [(d["kind"], d["spec"]["template"]) for d in documents if d["kind"] in ("Deployment", "DaemonSet")]


def containers(documents):
    """(kind of the workload, pod spec, container) of each container, init containers too."""
    for kind, template in pod_templates(documents):
        spec = template["spec"]
        for container in spec.get("initContainers", []) + spec["containers"]:
            yield kind, spec, container


def container(documents, kind, name):
    found = [each for workload, _, each in containers(documents) if (workload, each["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} containers {name} in {kind}"
    return found[0]


def volumes(documents, kind):
    """Name → volume of the workload's pods."""
    template = dict(pod_templates(documents))[kind]
    return {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
