//! GET /: one page that says what runs here and how to talk to it. It needs nothing but itself.

use crate::node::Node;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use std::sync::Arc;

const PAGE: &str = include_str!("page.html");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn show(State(node): State<Arc<Node>>, headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let default = node.config.listen.to_string();
    let host = host.filter(|host| is_plain(host)).unwrap_or(&default);
    let mut response = Html(fill(host, &node.config.node)).into_response();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn fill(host: &str, node: &str) -> String {
    PAGE.replace("{{host}}", host)
        .replace("{{node}}", node)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
}

/// A host as a browser sends it: nothing that means something to HTML or a shell.
fn is_plain(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    !host.is_empty() && host.len() <= 255 && host.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_complete_and_asks_for_nothing_from_elsewhere() {
        let page = fill("127.0.0.1:8080", "conn-node-1");
        assert!(!page.contains("{{"), "a place was not filled");
        for part in ["http://127.0.0.1:8080/v1/users", "ws://127.0.0.1:8080/v1/ws", "conn-node-1"] {
            assert!(page.contains(part), "{part}");
        }
        for loads in ["src=", "<link", "<script", "@import", "url("] {
            assert!(!page.contains(loads), "{loads}");
        }
    }

    #[test]
    fn a_host_cannot_write_into_the_page() {
        for bad in ["", "a<b>", "a\"b", "a b", "$(x)", "a'b", "a/b", &"x".repeat(256)] {
            assert!(!is_plain(bad), "{bad}");
        }
        assert!(is_plain("[::1]:8080") && is_plain("chat.example.org"));
    }
}
