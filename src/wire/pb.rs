//! The generated protobuf types, private to `wire`.
#![expect(clippy::all, clippy::pedantic, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/rustchat.v1.rs"));
