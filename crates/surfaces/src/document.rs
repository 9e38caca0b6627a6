//! The surfaces' OpenAPI documents against their routes.

use std::collections::{BTreeMap, BTreeSet};

use api::{Problem, ProblemKind};
use http::Method;
use serde_json::{Map, Value};

use crate::{Access, Route, Surface, surfaces};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

fn parsed(surface: &Surface) -> Value {
    serde_json::from_str(surface.document)
        .unwrap_or_else(|error| panic!("{}: {error}", surface.name))
}

/// A method and a path.
type Place = (String, String);

/// The operations of a document.
fn operations(document: &Value) -> BTreeMap<Place, &Map<String, Value>> {
    let paths = document["paths"].as_object().unwrap();
    let mut found = BTreeMap::new();
    for (path, item) in paths {
        for method in METHODS {
            let operation = item.get(method).and_then(Value::as_object);
            let place = (method.to_uppercase(), path.clone());
            found.extend(operation.map(|operation| (place, operation)));
        }
    }
    found
}

fn place(route: &Route) -> Place {
    (route.method.to_string(), route.path.to_owned())
}

/// What `operationId` the rule gives each route.
fn wanted(routes: &[Route]) -> BTreeMap<Place, String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let id = |route: &Route| {
        let count = seen.entry(route.operation).or_default();
        *count += 1;
        let id = match *count {
            1 => route.operation.to_owned(),
            count => format!("{}_{count}", route.operation),
        };
        (place(route), id)
    };
    routes.iter().map(id).collect()
}

#[test]
fn each_document_has_exactly_the_routes_of_its_surface() {
    for surface in surfaces() {
        let document = parsed(surface);
        assert_eq!(document["openapi"], "3.1.0", "{}", surface.name);
        let found = operations(&document).into_iter().map(|(place, operation)| {
            let id = operation["operationId"].as_str().unwrap();
            (place, id.to_owned())
        });
        assert_eq!(found.collect::<BTreeMap<_, _>>(), wanted(surface.routes), "{}", surface.name);
        assert!(surface.document.is_ascii(), "{}", surface.name);
    }
}

/// The statuses that every route of its kind may answer, whatever it does, as its surface puts them.
fn always(surface: &Surface, route: &Route) -> BTreeSet<String> {
    use ProblemKind::{
        Busy, Internal, MalformedBody, PayloadTooLarge, RequestTimeout, TooManyRequests,
        Unauthorized,
    };
    let mut kinds = vec![Internal, Busy];
    if matches!(route.access, Access::Known | Access::Welcome) {
        kinds.extend([Unauthorized, TooManyRequests]);
    }
    if route.access == Access::SigningIn {
        kinds.extend([MalformedBody, TooManyRequests]);
    }
    // A body is received, wanted or not.
    if route.method != Method::GET {
        kinds.extend([MalformedBody, RequestTimeout, PayloadTooLarge]);
    }
    let put = |kind| (surface.refuse)(&Problem::new(kind, "")).status.as_str().to_owned();
    kinds.into_iter().map(put).collect()
}

#[test]
fn each_operation_has_the_refusals_that_every_route_of_its_kind_has() {
    for surface in surfaces() {
        let document = parsed(surface);
        let operations = operations(&document);
        for route in surface.routes {
            let what = format!("{} {}", route.method, route.path);
            let operation = operations[&place(route)];
            let responses = operation["responses"].as_object().unwrap();
            let wanted = always(surface, route).into_iter();
            let lacking = wanted.filter(|status| !responses.contains_key(status));
            assert_eq!(lacking.collect::<Vec<_>>(), [""; 0], "{what}");
            let security = operation.get("security");
            let wanted = match route.access {
                Access::Anybody | Access::SigningIn => Some(true),
                Access::Known => None,
                Access::Welcome => Some(false),
            };
            let is_open = security.map(|schemes| schemes.as_array().unwrap().is_empty());
            assert_eq!(is_open, wanted, "{what}");
            for member in ["summary", "tags"] {
                assert!(operation.contains_key(member), "{what} has no {member}");
            }
        }
    }
}

/// Each object below a value, and where it is.
fn each<'a>(at: &str, value: &'a Value, see: &mut impl FnMut(&str, &'a Map<String, Value>)) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each(&format!("{at}/{index}"), item, see);
            }
        }
        Value::Object(members) => {
            see(at, members);
            for (name, member) in members {
                each(&format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), member, see);
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a reference leads to.
fn at_pointer<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    document.pointer(reference.strip_prefix('#')?)
}

#[test]
fn each_reference_leads_somewhere_and_each_component_is_referred_to() {
    for surface in surfaces() {
        let document = parsed(surface);
        let mut referred = BTreeSet::new();
        each("#", &document, &mut |at, object| {
            let Some(target) = object.get("$ref") else { return };
            let target = target.as_str().unwrap();
            assert!(at_pointer(&document, target).is_some(), "{}: {at}: {target}", surface.name);
            referred.insert(target.to_owned());
        });
        for kind in ["headers", "parameters", "responses", "schemas"] {
            let components = document["components"][kind].as_object().into_iter().flatten();
            for (name, _) in components {
                let pointer = format!("#/components/{kind}/{name}");
                assert!(referred.contains(&pointer), "{}: nothing uses {pointer}", surface.name);
            }
        }
    }
}

/// An object of an answer says which members it has, except where clients' own are kept; then it
/// says that.
#[test]
fn each_object_of_an_answer_is_closed_or_says_what_it_holds() {
    for surface in surfaces() {
        let document = parsed(surface);
        let mut parts = BTreeSet::new();
        for ((method, path), operation) in operations(&document) {
            let path = path.replace('/', "~1");
            let responses = format!("#/paths/{path}/{}/responses", method.to_lowercase());
            below(&document, &operation["responses"], &mut parts);
            parts.insert(responses);
        }
        for pointer in parts {
            let part = at_pointer(&document, &pointer).unwrap();
            each(&pointer, part, &mut |at, schema| {
                let is_object = schema.get("type").is_some_and(|kind| kind == "object");
                let says = schema.contains_key("additionalProperties")
                    || schema.contains_key("description");
                assert!(!is_object || says, "{}: {at} takes any member", surface.name);
            });
        }
    }
}

/// What a value refers to, over however many steps.
fn below(document: &Value, value: &Value, found: &mut BTreeSet<String>) {
    let mut targets = Vec::new();
    each("", value, &mut |_, object| targets.extend(object.get("$ref").and_then(Value::as_str)));
    for target in targets {
        if found.insert(target.to_owned()) {
            below(document, at_pointer(document, target).unwrap(), found);
        }
    }
}
