//! What every form of this role must do.
