//! The OpenAPI document, made of the protocol's descriptors and the table of short paths.

use std::collections::BTreeSet;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::paths::{self, Composed, Short, Verb};
use super::transcode::Transcoder;

/// The whole document.
pub(crate) fn document(transcoder: &Transcoder) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for method in transcoder.methods() {
        let service = method.parent_service().name().to_owned();
        let path = format!("/v1/{service}/{}", method.name());
        let mut operations = Map::new();
        operations.insert("post".into(), operation(method, comment(method), true, &[], &mut schemas));
        if super::only_reads(method) {
            let mut get = operation(method, comment(method), false, &parameters(method), &mut schemas);
            rename(&mut get, &format!("{service}_{}_query", method.name()));
            operations.insert("get".into(), get);
        }
        paths.insert(path, operations.into());
    }
    for short in paths::TABLE {
        let Some(method) = transcoder.method(short.service, short.rpc) else { continue };
        let entry = paths.entry(short.path).or_insert_with(|| Value::Object(Map::new()));
        let operation = short_operation(short, method, &mut schemas);
        if let Value::Object(operations) = entry {
            operations.insert(short.verb.as_str().into(), operation);
        }
    }
    for it in paths::COMPOSED {
        paths.insert(it.path.to_owned(), json!({ "post": composed(it) }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Prunella",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The control protocol in JSON: every RPC at /v1/SERVICE/METHOD in its canonical proto-JSON form, and short paths for the most used ones. Fields without a value are left out.",
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "description": "prunella token operator NAME --role ROLE" } },
            "schemas": schemas.done(),
        },
    })
}

fn rename(operation: &mut Value, id: &str) {
    operation["operationId"] = id.into();
}

fn short_operation(short: &Short, method: &MethodDescriptor, schemas: &mut Schemas) -> Value {
    let body = short.verb == Verb::Post;
    let mut parameters = if body { Vec::new() } else { parameters(method) };
    parameters.retain(|it| {
        let name = it["name"].as_str().unwrap_or_default();
        short.id.is_none_or(|(field, _)| field != name)
    });
    if short.id.is_some() {
        parameters.push(json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    let mut operation = operation(method, short.about.to_owned(), body, &parameters, schemas);
    let id: String = short.path.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '_' }).collect();
    rename(&mut operation, &format!("{}{id}", short.verb.as_str()));
    operation
}

fn composed(it: &Composed) -> Value {
    let id: String = it.path.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '_' }).collect();
    json!({
        "operationId": format!("post{id}"),
        "tags": ["composed"],
        "summary": it.about,
        "description": format!("Calls {}.", it.rpcs.replace('`', "")),
        "requestBody": { "required": true, "content": { "application/json": { "schema": (it.body)() } } },
        "responses": {
            "200": { "description": "the answer", "content": { "application/json": { "schema": { "type": "object" } } } },
            "4XX": problem(),
            "5XX": problem(),
        },
    })
}

fn problem() -> Value {
    json!({ "description": "what went wrong", "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } })
}

fn operation(
    method: &MethodDescriptor,
    about: String,
    body: bool,
    parameters: &[Value],
    schemas: &mut Schemas,
) -> Value {
    let media = if method.is_server_streaming() { "text/event-stream" } else { "application/json" };
    let answer = schemas.reference(&method.output());
    let mut operation = json!({
        "operationId": format!("{}_{}", method.parent_service().name(), method.name()),
        "tags": [method.parent_service().name()],
        "summary": about,
        "parameters": parameters,
        "responses": {
            "200": { "description": "the answer", "content": { media: { "schema": answer } } },
            "4XX": problem(),
            "5XX": problem(),
        },
    });
    if body {
        let schema = schemas.reference(&method.input());
        operation["requestBody"] =
            json!({ "required": false, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn parameters(method: &MethodDescriptor) -> Vec<Value> {
    let mut none = Schemas::default();
    let input = method.input();
    let simple =
        |it: &FieldDescriptor| !it.is_map() && !matches!(it.kind(), Kind::Message(m) if well_known(&m).is_none());
    input
        .fields()
        .filter(simple)
        .map(|it| json!({ "name": it.json_name(), "in": "query", "required": false, "schema": none.field(&it) }))
        .collect()
}

/// The comment of a method in the protocol, as one paragraph.
fn comment(method: &MethodDescriptor) -> String {
    let file = method.parent_file();
    let path = method.path();
    let locations = file.file_descriptor_proto().source_code_info.as_ref().map(|it| it.location.as_slice());
    locations
        .unwrap_or_default()
        .iter()
        .find(|it| it.path == path)
        .map(|it| it.leading_comments().split_whitespace().collect::<Vec<_>>().join(" "))
        .unwrap_or_default()
}

/// Messages that were referred to, and their schemas.
#[derive(Default)]
struct Schemas {
    seen: BTreeSet<String>,
    all: Map<String, Value>,
}

impl Schemas {
    fn done(mut self) -> Map<String, Value> {
        let problem = json!({
            "type": "object",
            "description": "RFC 9457",
            "properties": {
                "type": { "type": "string" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "reason": { "type": "string" },
                "code": { "type": "string" },
                "metadata": { "type": "object", "additionalProperties": { "type": "string" } },
                "fields": { "type": "array", "items": { "type": "object" } },
            },
            "required": ["type", "title", "status", "detail", "reason"],
        });
        self.all.insert("Problem".into(), problem);
        self.all
    }

    fn reference(&mut self, message: &MessageDescriptor) -> Value {
        let name = short_name(message.full_name());
        if self.seen.insert(name.clone()) {
            let properties: Map<String, Value> =
                message.fields().map(|it| (it.json_name().to_owned(), self.field(&it))).collect();
            self.all.insert(name.clone(), json!({ "type": "object", "properties": properties }));
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let values = self.kind(&entry.map_entry_value_field().kind());
            return json!({ "type": "object", "additionalProperties": values });
        }
        let one = self.kind(&field.kind());
        if field.cardinality() == Cardinality::Repeated { json!({ "type": "array", "items": one }) } else { one }
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
            // JSON numbers lose digits beyond 2^53, so the canonical form is a text.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "string", "format": "int64" }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "format": "byte" }),
            Kind::Enum(it) => names(it),
            Kind::Message(it) => well_known(it).unwrap_or_else(|| self.reference(it)),
        }
    }
}

fn names(it: &EnumDescriptor) -> Value {
    let names: Vec<String> = it.values().map(|it| it.name().to_owned()).collect();
    json!({ "type": "string", "enum": names })
}

/// The schema of a message that has a JSON form of its own.
fn well_known(message: &MessageDescriptor) -> Option<Value> {
    match message.full_name() {
        "google.protobuf.Timestamp" => Some(json!({ "type": "string", "format": "date-time" })),
        "google.protobuf.Duration" => Some(json!({ "type": "string", "description": "seconds, as in 1.5s" })),
        "google.protobuf.FieldMask" => Some(json!({ "type": "string" })),
        _ => None,
    }
}

fn short_name(full: &str) -> String {
    full.strip_prefix("prunella.control.v1.").unwrap_or(full).to_owned()
}
