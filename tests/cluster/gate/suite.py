"""Kubernetes' own suite for storage drivers, against the chart with the simulator's mounter.

Every spec of a capability that the driver claims must pass. Which specs are skipped for a capability that it lacks is
compared with a committed list, so that none is skipped without anybody noticing.
"""

import json
import re
import subprocess
import xml.etree.ElementTree as xml

from gate import scenarios, world
from gate.world import require
from node.settings import NODE, programs, state

SKIPPED = world.GATE / "suite-skipped.txt"
# A spec mostly waits, so two processes share them: the first one takes these, the second one all others.
FIRST_HALF = "(subPath|ephemeral)"
# The specs that CI runs, for both: what mounts and what provisions. The others need minutes.
CI = (r"External.Storage.*subPath", r"External.Storage.*(mountOption|mount options|fsgroup|multiVolume|provisioning)")
EVERYTHING = (f"External.Storage.*{FIRST_HALF}", "External.Storage")
NOT = r"\[Disruptive\]|\[Slow\]|\[Serial\]|\[Feature:.*\]"

CAPABILITIES = {
    "persistence": True,
    "fsGroup": True,
    "exec": True,
    "multipods": True,
    "RWX": True,
    "multiplePVsSameID": True,
    "readWriteOncePod": True,
    # What the driver does not have.
    "block": False,
    "controllerExpansion": False,
    "nodeExpansion": False,
    "snapshotDataSource": False,
    "pvcDataSource": False,
    "topology": False,
    "volumeLimits": False,
    "singleNodeVolume": False,
}


def definition(folder):
    """The suite's description of the driver, and the StorageClass that it copies."""
    storage_class = folder / "storage-class.json"
    storage_class.write_text(json.dumps(world.storage_class("suite")))
    driver = {
        "StorageClass": {"FromFile": str(storage_class)},
        "ClientNodeName": NODE,
        "DriverInfo": {
            "Name": world.DRIVER,
            "MaxFileSize": 104857600,
            "SupportedSizeRange": {"Min": "4Ti"},
            "SupportedFsType": {"": {}},
            "SupportedMountOption": {"noatime": {}},
            "RequiredAccessModes": ["ReadWriteMany"],
            "Capabilities": CAPABILITIES,
        },
    }
    path = folder / "driver.json"
    path.write_text(json.dumps(driver))
    return path


def specs(report):
    """Specs that were chosen, by outcome: passed, failed, skipped."""
    found = {"passed": [], "failed": [], "skipped": []}
    for case in xml.parse(report).iter("testcase"):
        name, status = case.get("name"), case.get("status")
        if not name.startswith("[It]"):
            continue
        skip = case.find("skipped")
        # Without a message it was not chosen.
        if skip is not None and " - " not in (skip.get("message") or ""):
            continue
        outcome = {"passed": "passed", "skipped": "skipped"}.get(status, "failed")
        found[outcome].append(re.sub(r"^\[It\] ", "", name))
    return found


def begin(name, focus, skip):
    """Starts the specs that match, with a report and a log of this name; the log is the suite's own."""
    folder = state() / "suite"
    command = [
        programs() / "storage-suite",
        f"-storage.testdriver={folder / 'driver.json'}",
        f"-kubeconfig={state() / 'config' / 'admin.kubeconfig'}",
        "-provider=skeleton",
        "-num-nodes=1",
        "-ginkgo.v",
        "-ginkgo.no-color",
        f"-ginkgo.focus={focus}",
        f"-ginkgo.skip={skip}",
        f"-ginkgo.junit-report={folder / f'{name}.xml'}",
        "-test.timeout=0",
    ]
    with open(folder / f"{name}.log", "wb") as output:
        return subprocess.Popen([str(part) for part in command], stdout=output, stderr=output, cwd=folder)


def run(focus):
    """Runs the specs that match, in two processes at once."""
    folder = state() / "suite"
    folder.mkdir()
    scenarios.install("--set", "driver.mounter=simulator,driver.mountFsType=,image.tag=ci-simulator")
    definition(folder)
    running = {
        "first": begin("first", focus[0], NOT),
        "second": begin("second", focus[1], f"{NOT}|{FIRST_HALF}"),
    }
    found = {}
    for name, process in running.items():
        code = process.wait()
        if code != 0:
            print((folder / f"{name}.log").read_text(errors="replace")[-40000:])
        for outcome, names in specs(folder / f"{name}.xml").items():
            found.setdefault(outcome, []).extend(names)
    judge(found, focus)
    require(not any(process.returncode for process in running.values()), "the suite failed outside of its specs")


def judge(found, focus):
    print(f"      {len(found['passed'])} specs passed, {len(found['skipped'])} skipped, {len(found['failed'])} failed")
    for name in found["failed"]:
        print(f"      failed: {name}")
    require(found["passed"], f"no spec ran for {focus}")
    require(not found["failed"], "specs failed")
    known = {line for line in SKIPPED.read_text().splitlines() if line and not line.startswith("#")}
    new = sorted(set(found["skipped"]) - known)
    require(not new, "specs are skipped that tests/cluster/gate/suite-skipped.txt does not list:\n" + "\n".join(new))
    wrong = sorted(known & set(found["passed"]))
    require(not wrong, "specs pass that are listed as skipped:\n" + "\n".join(wrong))
    gone = sorted(known - set(found["skipped"])) if focus == EVERYTHING else []
    require(not gone, "specs are listed as skipped that there are not:\n" + "\n".join(gone))


def ci():
    run(CI)


def everything():
    run(EVERYTHING)
