//! Is `proto/csi.proto` the CSI protocol? Every service, message, field, number and mark against a listing of CSI 1.12.
//!
//! Why it exists: the file is our own text; a wrong number would be read by kubelet as another field, without an error.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use protox::prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

const SPECIFICATION: &str = include_str!("data/csi-1.12-descriptors.txt");
const SERVICES: [&str; 3] = ["csi.v1.Identity", "csi.v1.Controller", "csi.v1.Node"];

fn pool() -> DescriptorPool {
    let mut compiler = protox::Compiler::new(["proto"]).unwrap();
    compiler.include_imports(true).open_file("csi.proto").unwrap();
    compiler.descriptor_pool()
}

/// Names of the boolean marks that are set in an options message.
fn marks(options: &protox::prost_reflect::DynamicMessage) -> String {
    let set = options.extensions().filter(|(_, value)| **value == Value::Bool(true));
    let mut names: Vec<String> = set.map(|(extension, _)| extension.name().to_owned()).collect();
    names.sort();
    names.iter().fold(String::new(), |mut text, name| {
        write!(text, " [{name}]").unwrap();
        text
    })
}

fn type_name(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(message) if field.is_map() => {
            let part = |name: &str| type_name(&message.get_field_by_name(name).unwrap());
            format!("map<{},{}>", part("key"), part("value"))
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn list_enum(values: &EnumDescriptor, lines: &mut BTreeSet<String>) {
    for value in values.values() {
        let line =
            format!("enum {} value {} {}{}", values.full_name(), value.number(), value.name(), marks(&value.options()));
        lines.insert(line);
    }
}

fn list_message(message: &MessageDescriptor, lines: &mut BTreeSet<String>) {
    if !message.full_name().starts_with("csi.v1.") || message.is_map_entry() {
        return;
    }
    let name = message.full_name();
    if !lines.insert(format!("message {name}{}", marks(&message.options()))) {
        return;
    }
    for field in message.fields() {
        let label = if field.cardinality() == Cardinality::Repeated && !field.is_map() { "repeated " } else { "" };
        let oneof = field.containing_oneof().map(|oneof| format!(" oneof {}", oneof.name())).unwrap_or_default();
        let (number, kind, field_name) = (field.number(), type_name(&field), field.name());
        let (json, marks) = (field.json_name(), marks(&field.options()));
        lines.insert(format!("message {name} field {number} {label}{kind} {field_name} json {json}{oneof}{marks}"));
        match field.kind() {
            Kind::Message(inner) => list_message(&inner, lines),
            Kind::Enum(values) => list_enum(&values, lines),
            _ => {}
        }
    }
}

fn listing(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for service in SERVICES {
        let service = pool.get_service_by_name(service).unwrap_or_else(|| panic!("no service {service}"));
        for method in service.methods() {
            let (input, output) = (method.input(), method.output());
            let streams = format!("{}{}", method.is_client_streaming(), method.is_server_streaming());
            assert_eq!(streams, "falsefalse", "CSI's three services stream nothing");
            let (from, to) = (input.full_name(), output.full_name());
            let marks = marks(&method.options());
            lines.insert(format!(
                "service {} method {} ({from}) returns ({to}){marks}",
                service.full_name(),
                method.name()
            ));
            list_message(&input, &mut lines);
            list_message(&output, &mut lines);
        }
    }
    lines
}

#[test]
fn every_descriptor_is_the_specifications() {
    let ours = listing(&pool());
    if std::env::var_os("PRINT_DESCRIPTORS").is_some() {
        ours.iter().for_each(|line| println!("{line}"));
    }
    let theirs: BTreeSet<String> = SPECIFICATION.lines().map(str::to_owned).collect();
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&theirs).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nnot in the specification: {extra:#?}");
    assert!(ours.len() > 250, "only {} descriptors", ours.len());
}

#[test]
fn every_message_with_secrets_has_a_redacting_debug() {
    let build_script = std::fs::read_to_string("build.rs").unwrap();
    let pool = pool();
    let secret = |field: &FieldDescriptor| marks(&field.options()).contains("csi_secret");
    let with_secrets: Vec<_> =
        pool.all_messages().filter(|message| message.fields().any(|field| secret(&field))).collect();
    assert!(!with_secrets.is_empty());
    for message in &with_secrets {
        assert!(
            build_script.contains(&format!("\".{}\"", message.full_name())),
            "{} is missing in build.rs",
            message.full_name()
        );
    }
    assert_eq!(build_script.matches("\".csi.v1.").count(), with_secrets.len());
}
