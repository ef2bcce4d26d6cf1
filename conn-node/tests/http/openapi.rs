//! docs/openapi.yaml and the routes are the same list.

use shardline_conn_node::http::routes;
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../docs/openapi.yaml");

/// (method, path) by the indentation the document keeps: paths at two spaces, methods at four.
fn documented() -> BTreeSet<(String, String)> {
    let paths = DOCUMENT.lines().skip_while(|line| *line != "paths:").skip(1);
    let paths = paths.take_while(|line| line.is_empty() || line.starts_with(' '));
    let mut found = BTreeSet::new();
    let mut path = None;
    for line in paths {
        if let Some(key) = line.strip_prefix("  /").and_then(|rest| rest.strip_suffix(':')) {
            path = Some(format!("/{key}"));
        }
        let method = line.strip_prefix("    ").and_then(|rest| rest.strip_suffix(':'));
        let method = method.filter(|method| {
            ["get", "put", "post", "delete", "patch", "options", "head"].contains(method)
        });
        if let Some(method) = method {
            let path = path.clone().expect("a method stands below a path");
            assert!(found.insert((method.to_uppercase(), path)), "{line} twice");
        }
    }
    found
}

#[test]
fn every_route_is_documented_and_nothing_else_is() {
    let served: BTreeSet<(String, String)> =
        routes().iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(served.len(), routes().len(), "a route is listed twice");
    assert!(20 < served.len());
    assert_eq!(served, documented());
}

#[test]
fn every_error_code_is_documented() {
    for code in shardline_domain::error::Code::ALL {
        assert!(DOCUMENT.contains(&format!("            - {}\n", code.name())), "{code}");
    }
}
