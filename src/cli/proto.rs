//! `rustchat proto`: the protocol's descriptors, for programs in other languages.

use super::outcome::{End, Failure, Outcome};
use std::io::{self, IsTerminal, Write};

pub fn run() -> Outcome {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        return Err(Failure::usage("binary data: write it to a file, `rustchat proto > chat.fds`"));
    }
    out.write_all(crate::wire::DESCRIPTORS)?;
    out.flush()?;
    Ok(End::Done)
}
