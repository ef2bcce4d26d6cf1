//! What crosses between processes and to clients.
//!
//! `client` and `internal` are generated from the proto files. `call` holds the traits by which our
//! processes talk, whether in one process or over the network; `link` is the network form, over what
//! `dial` connects.

pub mod admin;
pub mod call;
pub mod checks;
pub mod codes;
pub mod dial;
pub mod inspect;
pub mod json;
pub mod link;
pub mod moves;
mod op;
pub mod refusal;

/// The client contract: frames, and what they carry.
pub use generated::v1 as client;

/// Calls, replies and events between our processes.
pub use generated::internal::v1 as internal;

#[allow(unreachable_pub, clippy::large_enum_variant)]
mod generated {
    pub mod v1 {
        tonic::include_proto!("shardline.v1");
    }
    pub mod internal {
        pub mod v1 {
            tonic::include_proto!("shardline.internal.v1");
        }
    }
}
