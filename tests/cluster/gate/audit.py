"""Whether what our service accounts may do is what they do: nothing denied, nothing granted for no reason."""

import json
import pathlib

from gate import world
from gate.world import items, require
from node.settings import state

ACCOUNTS = {"csi-azurelustre-controller-sa", "csi-azurelustre-node-sa"}
# Verb, group/resource and account that no scenario of the gate uses, and the case that does.
UNUSED = pathlib.Path(__file__).parent / "unused-rules.txt"


def user(account):
    return f"system:serviceaccount:{world.NAMESPACE}:{account}"


def requests():
    """What our accounts asked: (account, verb, group/resource) and the lines."""
    for line in (state() / "logs" / "audit.log").read_text().splitlines():
        entry = json.loads(line)
        account = entry["user"]["username"].rpartition(":")[2]
        if account in ACCOUNTS and entry["user"]["username"] == user(account) and "objectRef" in entry:
            at = entry["objectRef"]
            resource = at["resource"] + (f"/{at['subresource']}" if "subresource" in at else "")
            yield (account, entry["verb"], f"{at.get('apiGroup', '')}/{resource}"), entry


def granted():
    """What RBAC grants them, in the same form."""
    rules = {}
    base = "/apis/rbac.authorization.k8s.io/v1"
    for kind in ("clusterroles", "roles"):
        for role in items(f"{base}/{kind}"):
            rules[(role["metadata"].get("namespace"), role["metadata"]["name"])] = role.get("rules") or []
    for kind in ("clusterrolebindings", "rolebindings"):
        for binding in items(f"{base}/{kind}"):
            subjects = {one["name"] for one in binding.get("subjects", []) if one["kind"] == "ServiceAccount"}
            namespace = binding["metadata"].get("namespace") if binding["roleRef"]["kind"] == "Role" else None
            for account in subjects & ACCOUNTS:
                for rule in rules.get((namespace, binding["roleRef"]["name"]), []):
                    for group in rule.get("apiGroups", []):
                        for resource in rule.get("resources", []):
                            for verb in rule["verbs"]:
                                yield (account, verb, f"{group}/{resource}")


def excused():
    lines = UNUSED.read_text().splitlines()
    return {tuple(line.split(": ")[0].split()) for line in lines if line.strip() and not line.startswith("#")}


def judge():
    """No request was denied, and no rule is there for nothing. Runs while the roles are still there."""
    used, denied = set(), []
    for key, entry in requests():
        used.add(key)
        if entry.get("responseStatus", {}).get("code") == 403:
            denied.append(f"{' '.join(key)}: {entry['responseStatus'].get('message', '')}")
    require(used, "the audit log holds no request of our service accounts")
    require(not denied, "requests were denied:\n" + "\n".join(sorted(set(denied))))
    allowed = set(granted())
    require(allowed, "RBAC grants our service accounts nothing")
    idle = allowed - used - excused()
    require(not idle, "rules that no request used:\n" + "\n".join(" ".join(key) for key in sorted(idle)))
    print(f"      {len(allowed)} rights, {len(allowed & used)} used, {len(excused() & allowed)} excused")
