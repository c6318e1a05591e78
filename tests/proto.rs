//! Is `proto/csi.proto` the CSI protocol? Everything in it against a listing of CSI 1.12, and the messages with secrets
//! against `build.rs`.
//!
//! The file is our own text; a wrong number would be read by kubelet as another field, without an error.

use std::collections::BTreeSet;

use protox::prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

/// One line each; made from the specification's own file, cut down to what the three services reach.
const SPECIFICATION: &str = include_str!("data/csi-1.12-descriptors.txt");
const PACKAGE: &str = "csi.v1";

fn pool() -> Result<DescriptorPool, protox::Error> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_file("csi.proto")?;
    Ok(compiler.descriptor_pool())
}

/// Names of the boolean marks that are set in an options message.
fn marks(options: &DynamicMessage) -> String {
    let set = options.extensions().filter(|(_, value)| **value == Value::Bool(true));
    let names: BTreeSet<String> = set.map(|(extension, _)| format!(" [{}]", extension.name())).collect();
    names.into_iter().collect()
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) if message.is_map_entry() => {
            let (key, value) = (message.map_entry_key_field(), message.map_entry_value_field());
            format!("map<{},{}>", type_name(&key.kind()), type_name(&value.kind()))
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

/// Number, label, type, name, JSON name, oneof and marks; `optional` has a oneof of its own.
fn field_line(field: &FieldDescriptor) -> String {
    let (number, name, json) = (field.number(), field.name(), field.json_name());
    let label = if field.is_list() { "repeated " } else { "" };
    let oneof = field.containing_oneof().map(|oneof| format!(" oneof {}", oneof.name())).unwrap_or_default();
    let (kind, marks) = (type_name(&field.kind()), marks(&field.options()));
    format!("field {number} {label}{kind} {name} json {json}{oneof}{marks}")
}

/// All messages of our package but the entries of maps.
fn messages(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> + '_ {
    pool.all_messages().filter(|message| message.parent_file().package_name() == PACKAGE && !message.is_map_entry())
}

/// Everything in the file, reached by a method or not: what does not belong there is to be seen too.
fn listing(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for service in pool.services() {
        let name = service.full_name();
        lines.insert(format!("service {name}{}", marks(&service.options())));
        lines.extend(service.methods().map(|method| {
            let stream = |streaming| if streaming { "stream " } else { "" };
            let (from, to) = (stream(method.is_client_streaming()), stream(method.is_server_streaming()));
            let (input, output) = (method.input(), method.output());
            let (method_name, input, output) = (method.name(), input.full_name(), output.full_name());
            let marks = marks(&method.options());
            format!("service {name} method {method_name} ({from}{input}) returns ({to}{output}){marks}")
        }));
    }
    for message in messages(pool) {
        let name = message.full_name();
        lines.insert(format!("message {name}{}", marks(&message.options())));
        lines.extend(message.fields().map(|field| format!("message {name} {}", field_line(&field))));
    }
    for values in pool.all_enums().filter(|values| values.parent_file().package_name() == PACKAGE) {
        let name = values.full_name();
        lines.insert(format!("enum {name}{}", marks(&values.options())));
        lines.extend(
            values.values().map(|value| {
                format!("enum {name} value {} {}{}", value.number(), value.name(), marks(&value.options()))
            }),
        );
    }
    lines.extend(pool.all_extensions().map(|extension| {
        let (target, number) = (extension.containing_message(), extension.number());
        format!(
            "extend {} field {number} {} {}",
            target.full_name(),
            type_name(&extension.kind()),
            extension.full_name()
        )
    }));
    lines
}

#[test]
fn every_descriptor_is_the_specifications() -> Result<(), protox::Error> {
    let ours = listing(&pool()?);
    let theirs: BTreeSet<String> = SPECIFICATION.lines().map(str::to_owned).collect();
    let missing = theirs.difference(&ours).map(|line| format!("\n- {line}"));
    let extra = ours.difference(&theirs).map(|line| format!("\n+ {line}"));
    let difference: String = missing.chain(extra).collect();
    assert!(difference.is_empty(), "CSI 1.12 (-) and proto/csi.proto (+) differ:{difference}");
    assert!(ours.len() > 250, "only {} descriptors", ours.len());
    Ok(())
}

#[test]
fn every_message_with_secrets_has_a_redacting_debug() -> Result<(), Box<dyn std::error::Error>> {
    let build_script = std::fs::read_to_string("build.rs")?;
    let (_, list) =
        build_script.split_once("const MESSAGES_WITH_SECRETS: &[&str] = &[").ok_or("no list in build.rs")?;
    let (list, _) = list.split_once("];").ok_or("the list in build.rs has no end")?;
    let listed: BTreeSet<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();

    let pool = pool()?;
    let is_secret = |field: FieldDescriptor| marks(&field.options()).contains("[csi_secret]");
    let with_secrets: BTreeSet<String> = messages(&pool)
        .filter(|message| message.fields().any(is_secret))
        .map(|message| format!(".{}", message.full_name()))
        .collect();
    assert!(!with_secrets.is_empty(), "no field is marked as a secret");
    assert_eq!(listed, with_secrets, "build.rs (left) and the marks in proto/csi.proto (right)");
    Ok(())
}
