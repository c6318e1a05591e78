//! Startup taints and the patch that removes them from a node (Kubernetes field `Node.spec.taints`).

use serde_json::{Value, json};

/// The form that cluster-autoscaler knows: nodes with a taint of this prefix count as still starting.
/// See "startup taints" in the FAQ of kubernetes/autoscaler.
const CLUSTER_AUTOSCALER_TAINT: &str = "startup-taint.cluster-autoscaler.kubernetes.io/azurelustre-agent-not-ready";

/// The keys of the taints that keep pods off a node until this driver is ready there.
pub fn startup_taints(driver_name: &str) -> [String; 2] {
    [format!("{driver_name}/agent-not-ready"), CLUSTER_AUTOSCALER_TAINT.to_owned()]
}

/// The startup taints of a node as they were read: place in the list and whole value, in the list's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal(Vec<(usize, Value)>);

impl Removal {
    /// What there is to remove from a node's taints (elements of `spec.taints` as they were read); `None` if nothing. A
    /// taint counts by its key, whatever its effect and value.
    pub fn of(taints: &[Value], keys: &[String]) -> Option<Self> {
        let ours = |taint: &Value| taint["key"].as_str().is_some_and(|key| keys.iter().any(|ours| ours == key));
        let found: Vec<(usize, Value)> =
            taints.iter().enumerate().filter(|(_, taint)| ours(taint)).map(|(at, taint)| (at, taint.clone())).collect();
        (!found.is_empty()).then_some(Self(found))
    }

    /// A JSON patch (RFC 6902) that removes them and nothing else. The server refuses it as a whole if one of them is no
    /// longer in its place. What it tests is what the server sent, unknown fields included.
    pub fn patch(&self) -> Value {
        let path = |at: &usize| format!("/spec/taints/{at}");
        let tests = self.0.iter().map(|(at, taint)| json!({"op": "test", "path": path(at), "value": taint}));
        // From the end, so that no removal moves the next one.
        let removals = self.0.iter().rev().map(|(at, _)| json!({"op": "remove", "path": path(at)}));
        tests.chain(removals).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [String; 2] {
        startup_taints("azurelustre.csi.azure.com")
    }

    #[test]
    fn a_node_without_startup_taints_needs_no_patch() {
        let others = [json!({"key": "sku", "value": "gpu", "effect": "NoSchedule"}), json!({"effect": "NoExecute"})];
        let near = [json!({"key": "azurelustre.csi.azure.com/agent-not-ready2", "effect": "NoSchedule"}), json!(null)];
        for taints in [&[][..], &others, &near] {
            assert_eq!(Removal::of(taints, &keys()), None, "{taints:?}");
        }
    }

    #[test]
    fn both_forms_are_tested_and_removed_in_their_places_with_all_their_fields() {
        let own = json!({"key": "azurelustre.csi.azure.com/agent-not-ready", "effect": "NoSchedule", "newField": 1});
        let scaler = json!({"key": CLUSTER_AUTOSCALER_TAINT, "value": "true", "effect": "NoExecute"});
        let other = json!({"key": "a", "effect": "NoSchedule"});
        let taints = [other.clone(), own.clone(), other, scaler.clone()];
        let removal = Removal::of(&taints, &keys()).unwrap();
        assert_eq!(
            removal.patch(),
            json!([
                {"op": "test", "path": "/spec/taints/1", "value": own},
                {"op": "test", "path": "/spec/taints/3", "value": scaler},
                {"op": "remove", "path": "/spec/taints/3"},
                {"op": "remove", "path": "/spec/taints/1"},
            ])
        );
    }

    #[test]
    fn the_same_key_with_several_effects_goes_altogether() {
        let taint = |effect: &str| json!({"key": "azurelustre.csi.azure.com/agent-not-ready", "effect": effect});
        let removal = Removal::of(&[taint("NoSchedule"), taint("NoExecute")], &keys()).unwrap();
        let removed = removal.patch().as_array().unwrap().iter().filter(|step| step["op"] == "remove").count();
        assert_eq!(removed, 2);
    }

    #[test]
    fn another_driver_name_has_another_taint() {
        assert_eq!(startup_taints("lustre.example.com")[0], "lustre.example.com/agent-not-ready");
    }
}
