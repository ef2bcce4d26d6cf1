//! Tests over the repository itself: crate edges, limits, documents, migrations.
