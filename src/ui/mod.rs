//! What people see: the chat screen and the operator's screen. Each is a model, an update without
//! I/O and a view that only draws; this level holds what both share. It must not know servers,
//! Raft, stores or the bytes of the protocol.

pub mod cells;
pub mod chat;
pub mod dash;
pub mod editor;
pub mod keymap;
pub mod paint;
pub mod terminal;
pub mod theme;
