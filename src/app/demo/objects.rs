//! Kubernetes objects from files: YAML or JSON, several documents, and lists as `kubectl get -o json` prints them.

use std::path::Path;

use serde_json::Value;

use super::schema::{self, Shape};
use crate::app::command_error::{CommandError, Exit};
use crate::domain::problem::Problem;

/// One object, held to the shape of its kind.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Where it came from and what it is, for messages: `claim.yaml: PersistentVolumeClaim scratch`.
    pub shown: String,
    /// Its kind.
    pub kind: String,
    /// Its content, without nulls.
    pub value: Value,
}

/// A kind that the demo takes, the API group and version it belongs to, and its shape.
const KINDS: [(&str, &str, &Shape); 9] = [
    ("StorageClass", "storage.k8s.io/v1", &schema::STORAGE_CLASS),
    ("PersistentVolumeClaim", "v1", &schema::CLAIM),
    ("Pod", "v1", &schema::POD),
    ("Deployment", "apps/v1", &schema::SET),
    ("ReplicaSet", "apps/v1", &schema::SET),
    ("DaemonSet", "apps/v1", &schema::SET),
    ("StatefulSet", "apps/v1", &schema::SET),
    ("Job", "batch/v1", &schema::JOB),
    ("CronJob", "batch/v1", &schema::CRON_JOB),
];

/// The objects of these kinds in a text. Others in it are passed over; every mistake in those of interest is reported.
pub(super) fn of_kinds(kinds: &[&str], shown: &str, text: &str) -> Result<Vec<Object>, CommandError> {
    let mut problems = Vec::new();
    let mut objects = Vec::new();
    for document in documents(shown, text)? {
        collect(kinds, shown, document, &mut objects, &mut problems);
    }
    if problems.is_empty() && objects.is_empty() {
        problems.push(format!("{shown} holds no {}", kinds.join(", ")));
    }
    if problems.is_empty() { Ok(objects) } else { Err(in_files(problems)) }
}

/// The text of a file that the user named.
pub(super) fn read(path: &Path) -> Result<(String, String), CommandError> {
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((shown, text)),
        Err(error) => Err(in_files(vec![format!("{shown}: {error}")])),
    }
}

/// Everything that is wrong with the user's files.
pub(super) fn in_files(problems: Vec<String>) -> CommandError {
    let hint = "give files that `kubectl apply` would take and that belong together, or none to see the examples";
    let mut problems: Vec<Problem> = problems.into_iter().map(Problem::new).collect();
    if let Some(last) = problems.last_mut() {
        last.hint = Some(hint.to_owned());
    }
    CommandError::new(Exit::Usage, problems)
}

fn documents(shown: &str, text: &str) -> Result<Vec<Value>, CommandError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        // The parser's own words are about its types, not about the user's file.
        let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
        let what = if error.to_string().contains("duplicate") {
            "a key stands there twice"
        } else {
            "it is neither YAML nor JSON there; check indentation, colons and quotes"
        };
        in_files(vec![format!("{shown}{}: {what}", place.unwrap_or_default())])
    })
}

fn collect(kinds: &[&str], shown: &str, document: Value, objects: &mut Vec<Object>, problems: &mut Vec<String>) {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(Value::Array(items)) = document.get("items").filter(|_| kind.ends_with("List")) {
        // The items of a typed list say nothing about their kind.
        let of = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
        for item in items.clone() {
            let mut item = item;
            if let (Some(of), Some(fields)) = (of, item.as_object_mut()) {
                fields.entry("kind").or_insert_with(|| of.into());
            }
            collect(kinds, shown, item, objects, problems);
        }
        return;
    }
    match &document {
        Value::Null => return,
        Value::Object(_) if !kind.is_empty() => {}
        Value::Object(_) => {
            return problems.push(format!("{shown}: an object has no kind, such as `kind: {}`", kinds.join(" or ")));
        }
        _ => return problems.push(format!("{shown} holds no Kubernetes object, a map with kind and metadata")),
    }
    let known = KINDS.iter().find(|(known, ..)| *known == kind && kinds.contains(known));
    let Some((_, version, shape)) = known else { return };
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let about = format!("{shown}: {kind} {name}").trim_end().to_owned();
    let mut found = Vec::new();
    schema::check("", &document, shape, &mut found);
    match document.get("apiVersion").and_then(Value::as_str) {
        Some(other) if other != *version => found.push(format!("apiVersion is `{other}`, not `{version}`")),
        _ => {}
    }
    if found.is_empty() {
        objects.push(Object { shown: about, kind, value: without_nulls(document) });
    } else {
        problems.extend(found.into_iter().map(|problem| format!("{about}: {problem}")));
    }
}

/// Kubernetes takes a null for an absent field, and in a StorageClass's parameters for an empty text.
fn without_nulls(value: Value) -> Value {
    let field = |(key, value): (String, Value)| match value {
        Value::Null => None,
        Value::Object(parameters) if key == "parameters" => {
            let text = |value: Value| if value.is_null() { "".into() } else { value };
            Some((key, parameters.into_iter().map(|(key, value)| (key, text(value))).collect()))
        }
        other => Some((key, without_nulls(other))),
    };
    match value {
        Value::Object(fields) => fields.into_iter().filter_map(field).collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
