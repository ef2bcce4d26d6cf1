//! The shared secret by which our services know each other on loopback or a private network.

use std::sync::Arc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Put on every outgoing call, demanded of every incoming one. Not shown by `Debug`.
#[derive(Clone)]
pub struct Secret {
    header: Arc<MetadataValue<Ascii>>,
}

impl Secret {
    /// None if the text cannot stand in a header (visible ASCII only).
    pub fn new(text: &str) -> Option<Secret> {
        let mut header: MetadataValue<Ascii> = format!("Bearer {text}").parse().ok()?;
        header.set_sensitive(true);
        Some(Secret { header: Arc::new(header) })
    }

    pub(super) fn put_on<T>(&self, request: &mut Request<T>) {
        request.metadata_mut().insert("authorization", (*self.header).clone());
    }

    /// The server's side: refuses calls without this secret.
    pub(super) fn guard(&self) -> impl Interceptor + Clone + use<> {
        let expected = self.header.clone();
        move |request: Request<()>| {
            let given = request.metadata().get("authorization");
            if given
                .is_some_and(|given| equal(given.as_encoded_bytes(), expected.as_encoded_bytes()))
            {
                Ok(request)
            } else {
                Err(Status::unauthenticated("the cluster secret is missing or another"))
            }
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Takes as long whatever the first difference is.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}
