"""Watches of single objects: every change that the API server makes to one, in its order."""

import json
import subprocess
import tempfile

from gate import world
from gate.world import require, wait
from node.settings import programs, state

MARK = "gate.example.com/mark"


class Watch:
    """All changes of one object from now on."""

    def __init__(self, kind, name):
        self.kind, self.name = kind, name
        # A file, since a pipe that nobody reads fills up.
        self.output = tempfile.NamedTemporaryFile(dir=state(), prefix=f"watch-{kind}-")
        command = [programs() / "kubectl", "get", kind, name, "--watch", "--output-watch-events", "-o", "json"]
        self.process = subprocess.Popen(command, stdout=self.output)
        wait(f"the watch of {kind} {name} begins", self.events, 30)

    def events(self):
        """(type, object) of each change so far; the first is the object as it was when the watch began."""
        text, decoder, found = open(self.output.name, encoding="utf-8").read().strip(), json.JSONDecoder(), []
        while text:
            try:
                event, end = decoder.raw_decode(text)
            except ValueError:
                break
            found.append((event["type"], event["object"]))
            text = text[end:].lstrip()
        return found

    def end(self):
        """All changes until now; the watch ends."""
        self.process.terminate()
        self.process.wait()
        return self.events()

    def end_without_gap(self):
        """The same, of a watch that has missed nothing: it still reports a change that is made now."""
        require(self.process.poll() is None, f"the watch of {self.kind} {self.name} has ended by itself")
        mark = str(len(self.events()))
        world.kubectl("annotate", self.kind, self.name, f"{MARK}={mark}", "--overwrite")

        def reported():
            return any(found["metadata"].get("annotations", {}).get(MARK) == mark for _, found in self.events())

        wait(f"the watch of {self.kind} {self.name} reports the last change", reported, 30)
        return self.end()


def judge_stays(events):
    """The object was there throughout, and it was always the same one."""
    deleted = [found["metadata"]["resourceVersion"] for kind, found in events if kind == "DELETED"]
    require(not deleted, f"the object was deleted at resource version {deleted}")
    ending = [found for _, found in events if "deletionTimestamp" in found["metadata"]]
    require(not ending, "the object was being deleted")
    require(len({found["metadata"]["uid"] for _, found in events}) == 1, "the object was replaced by another one")
    require(len({json.dumps(found["spec"], sort_keys=True) for _, found in events}) == 1, "its spec has changed")
