"""The examples: names of Microsoft's article, objects that belong together, nothing that alarms without reason."""

import unittest

import yaml
from rendered import ROOT, objects, of_kind

EXAMPLES = ROOT / "deploy/examples"
OF_THE_ARTICLE = {
    "storageclass_dynprov_lustre.yaml": ["azurelustre-dynprov"],
    "pvc_storageclass_dynprov.yaml": ["pvc-lustre-dynprov"],
    "pod_echo_date_dynprov.yaml": ["lustre-echo-date-dynprov"],
    "storageclass_existing_lustre.yaml": ["azurelustre-static"],
    "pvc_storageclass.yaml": ["pvc-lustre"],
    "pod_echo_date.yaml": ["lustre-echo-date"],
}


def examples():
    """(file name, object) of each example for Kubernetes."""
    for path in sorted(EXAMPLES.glob("*.yaml")):
        for each in objects(path.read_text()):
            if "kind" in each:
                yield path.name, each


class Examples(unittest.TestCase):
    def test_the_articles_files_hold_the_articles_objects(self):
        for name, expected in OF_THE_ARTICLE.items():
            found = [each["metadata"]["name"] for file, each in examples() if file == name]
            self.assertEqual(found, expected, name)

    def test_the_articles_placeholders_are_there_to_replace(self):
        parameters = of_kind([each for file, each in examples() if file == "storageclass_existing_lustre.yaml"], "StorageClass")[0]["parameters"]
        self.assertEqual(parameters["mgs-ip-address"], "EXISTING_LUSTRE_IP_ADDRESS")
        self.assertEqual(parameters["fs-name"], "EXISTING_LUSTRE_FS_NAME")

    def test_classes_bind_at_once(self):
        for name, each in examples():
            if each["kind"] == "StorageClass":
                self.assertEqual(each["volumeBindingMode"], "Immediate", name)
                self.assertEqual(each["provisioner"], "azurelustre.csi.azure.com", name)

    def test_only_what_the_driver_created_is_deleted(self):
        for name, each in examples():
            if each["kind"] == "StorageClass":
                static = "mgs-ip-address" in each["parameters"]
                self.assertEqual(each["reclaimPolicy"], "Retain" if static else "Delete", name)

    def test_claims_and_quota_name_a_class_that_is_there(self):
        classes = {each["metadata"]["name"] for _, each in examples() if each["kind"] == "StorageClass"}
        for name, each in examples():
            if each["kind"] == "PersistentVolumeClaim":
                self.assertIn(each["spec"]["storageClassName"], classes | {""}, name)
            if each["kind"] == "ResourceQuota":
                self.assertIn(next(iter(each["spec"]["hard"])).split(".storageclass")[0], classes)

    def test_images_name_a_version(self):
        for name, each in examples():
            for line in yaml.safe_dump(each).splitlines():
                if "image:" in line:
                    self.assertRegex(line, r":[0-9][0-9.]*$", name)
