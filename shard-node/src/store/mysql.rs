//! MySQL form.
