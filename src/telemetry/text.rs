//! What an event says in a line of text, with nothing in it that acts upon the terminal on which
//! it is read, nor any end of a line: nobody's words make a line of their own. It must not know
//! what is logged.

use crate::chat::text::printable;
use std::fmt;
use tracing::field::Field;
use tracing_subscriber::field::{MakeExt, RecordFields};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// Writes the fields of an event or a span.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl<'w> FormatFields<'w> for Text {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        debug_fn(say).delimited(" ").format_fields(writer, fields)
    }
}

fn say(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let value = printable(&value);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name => write!(writer, "{name}={value}"),
    }
}
