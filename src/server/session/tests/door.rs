//! The way in: what is refused, what is repeated, and that only what is unread comes.
