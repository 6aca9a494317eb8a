//! The help: written from the tables of keys and commands, so that it tells what is.

use super::commands::COMMANDS;
use crate::ui::keymap::BINDINGS;

/// The lines of the help: what to press or type, and what it does. A heading has no second part.
#[must_use]
pub fn lines() -> Vec<(String, &'static str)> {
    let mut out = vec![("Keys".to_owned(), "")];
    out.extend(BINDINGS.iter().map(|b| (b.keys.join("  "), b.help)));
    out.push((String::new(), ""));
    out.push(("Commands".to_owned(), ""));
    out.extend(COMMANDS.iter().map(|c| (format!("/{} {}", c.name, c.takes), c.help)));
    out.push(("//text".to_owned(), "send a text that begins with a slash"));
    out.push((String::new(), ""));
    out.push(("Your messages".to_owned(), ""));
    for (glyphs, help) in [
        (".", "waits on this machine"),
        ("✓  c", "on the disks of a majority of the servers"),
        ("✓✓  d", "arrived at a device of the receiver"),
        ("✓✓  r", "seen by the receiver (in another colour)"),
        ("!", "refused; it will not arrive"),
    ] {
        out.push((glyphs.to_owned(), help));
    }
    out
}
