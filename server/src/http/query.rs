//! Fields of a request from a query string: `?pageSize=10&openOnly=true`.

use prost_reflect::{FieldDescriptor, Kind, MethodDescriptor};
use serde_json::{Map, Value};
use tonic::Status;

use crate::rpc::error;

/// The fields that a query names, as JSON. Names may be written as in JSON or as in the protocol.
///
/// # Errors
/// A name that the request has no field of, a value that cannot be one, or a field that no query can hold.
pub(crate) fn fields(method: &MethodDescriptor, query: &str) -> Result<Map<String, Value>, Status> {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        let input = method.input();
        let field = input.get_field_by_json_name(&name).or_else(|| input.get_field_by_name(&name));
        let Some(field) = field else {
            let known: Vec<String> = input.fields().map(|it| it.json_name().to_owned()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(error::invalid(&name, format!("is no field of {}; it has: {known}", input.name())));
        };
        let value = one(&field, &value)?;
        let key = field.json_name().to_owned();
        if field.is_list() {
            match fields.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(list) => list.push(value),
                _ => return Err(error::invalid(&name, "cannot be a list")),
            }
        } else if fields.insert(key, value).is_some() {
            return Err(error::invalid(&name, "is given more than once"));
        }
    }
    Ok(fields)
}

fn one(field: &FieldDescriptor, text: &str) -> Result<Value, Status> {
    let name = field.json_name();
    let wrong = |what: &str| error::invalid(name, format!("must be {what}, not {text:?}"));
    if field.is_map() {
        return Err(error::invalid(name, "cannot be given in a query; POST a JSON body"));
    }
    match field.kind() {
        Kind::Bool => match text {
            "true" | "1" | "" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(wrong("true or false")),
        },
        Kind::Double | Kind::Float => {
            text.parse::<f64>().ok().filter(|it| it.is_finite()).map(Value::from).ok_or_else(|| wrong("a number"))
        }
        Kind::Int32
        | Kind::Sint32
        | Kind::Sfixed32
        | Kind::Uint32
        | Kind::Fixed32
        | Kind::Int64
        | Kind::Sint64
        | Kind::Sfixed64
        | Kind::Uint64
        | Kind::Fixed64 => match (text.parse::<i64>(), text.parse::<u64>()) {
            (Ok(number), _) => Ok(number.into()),
            (_, Ok(number)) => Ok(number.into()),
            _ => Err(wrong("a whole number")),
        },
        Kind::String | Kind::Enum(_) | Kind::Bytes => Ok(text.into()),
        Kind::Message(message) => match message.full_name() {
            // Their JSON form is a text.
            "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask" => Ok(text.into()),
            _ => Err(error::invalid(name, "cannot be given in a query; POST a JSON body")),
        },
    }
}
