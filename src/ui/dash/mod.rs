//! The operators screen.
