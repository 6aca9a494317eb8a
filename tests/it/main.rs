//! The one test binary: scenarios on real processes, and the rules of the house.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why on standard error"
)]

mod harness;
#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod backup;
mod bench;
mod cli;
mod conversation;
mod damage;
mod dash;
mod delivery;
mod demo;
mod elections;
mod events;
mod exactly_once;
mod full_disk;
mod guests;
mod hostile;
mod links;
mod links_hostile;
mod links_map;
mod log_damage;
mod logs;
mod mesh;
mod mongo_documents;
mod mongo_faults;
mod mongo_mixed;
mod mongo_place;
mod mongo_servers;
mod namespaces;
mod operators;
mod overload;
mod placement;
mod power;
mod python;
mod reads;
mod recover;
mod screen;
mod send;
mod service;
mod settings;
mod single;
mod slow_disk;
mod strangers;
mod tidy;
mod trust;
