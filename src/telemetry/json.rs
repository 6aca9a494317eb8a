//! A log line as a JSON object: `ts`, `level`, `target`, `msg`, `cluster`, `node`,
//! then what the event says, with nothing in it that acts upon the terminal on which it is read.
//! It must not know what is logged.

use crate::chat::text::printable_json;
use serde_json::Value;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes such lines for one server.
#[derive(Clone, Debug)]
pub struct Json {
    cluster: String,
    node: u32,
}

impl Json {
    /// For the server on seat `node` of a cluster.
    pub fn new(cluster: &str, node: u32) -> Self {
        Self { cluster: cluster.to_owned(), node }
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let mut found = Fields::default();
        event.record(&mut found);
        let mut line: Vec<(String, Value)> = Vec::new();
        let mut say = |key: &str, value: Value| line.push((key.to_owned(), value));
        say("ts", now().into());
        say("level", meta.level().to_string().to_lowercase().into());
        say("target", meta.target().into());
        say("msg", found.message.into());
        say("cluster", self.cluster.clone().into());
        say("node", self.node.into());
        for (mut key, value) in found.rest {
            // What the line says of itself is not overwritten by what an event says.
            while line.iter().any(|(known, _)| *known == key) {
                key.push('_');
            }
            line.push((key, value));
        }
        for (n, (key, value)) in line.into_iter().enumerate() {
            let begin = if n == 0 { '{' } else { ',' };
            let value = value.to_string();
            write!(writer, "{begin}{}:{}", Value::String(key), printable_json(&value))?;
        }
        writeln!(writer, "}}")
    }
}

/// UTC, with microseconds.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since.as_micros()).unwrap_or_default();
    jiff::Timestamp::from_microsecond(micros).map(|at| format!("{at:.6}")).unwrap_or_default()
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(String, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.rest.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::Kept;

    #[test]
    fn a_line_is_one_object_with_what_everybody_needs() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .event_format(Json::new("west", 3))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(term = 4, live = true, node = "another", "it \"moves\"\nin two lines");
        });
        let written = kept.text();
        assert_eq!(written.lines().count(), 1, "{written}");
        assert!(written.starts_with("{\"ts\":"), "{written}");
        let line: Value = serde_json::from_str(&written).unwrap();
        let ts = line["ts"].as_str().unwrap();
        assert!(ts.parse::<jiff::Timestamp>().is_ok() && ts.ends_with('Z'), "{ts}");
        assert_eq!(ts.len(), "2026-11-24T23:36:48.123456Z".len(), "{ts}");
        assert_eq!(line["level"], "warn");
        assert_eq!(line["msg"], "it \"moves\"\nin two lines");
        assert_eq!((&line["cluster"], &line["node"]), (&"west".into(), &3.into()));
        assert_eq!((&line["term"], &line["live"]), (&4.into(), &true.into()));
        assert_eq!(line["node_"], "another");
        assert_eq!(line["target"], module_path!());
    }
}
