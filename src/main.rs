//! rustchat.

fn main() {}
