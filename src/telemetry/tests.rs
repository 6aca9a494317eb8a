//! What others say in a log, in each of its forms.

use super::lines;
use super::testing::Kept;
use crate::support::{hostile, terminal};
use std::fmt;
use tracing_subscriber::layer::SubscriberExt;

/// An error in whose words somebody else has a part.
struct Theirs<'a>(&'a str);

impl fmt::Display for Theirs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Logs `text` in every way in which a text can be logged.
fn log(text: &str) {
    let span = tracing::info_span!("session", peer = text, why = %Theirs(text));
    let _in = span.enter();
    tracing::info!(name = text, error = %Theirs(text), debug = ?text, "they say {text}");
    tracing::warn!("{text}");
}

fn logged(text: &str, form: Option<bool>) -> String {
    let kept = Kept::default();
    let writer = kept.clone();
    let json = super::Json::new("west", 1);
    let layer = lines(move || writer.clone(), form, json);
    let all = tracing_subscriber::Registry::default().with(layer);
    tracing::subscriber::with_default(all, || log(text));
    kept.text()
}

#[test]
fn nobody_acts_on_a_terminal_or_makes_a_line_by_a_log_as_text() {
    for (name, text) in hostile::texts() {
        let plain = logged(&text, Some(false));
        assert_eq!(terminal::lines(plain.as_bytes()), Ok(()), "{name}");
        assert_eq!(plain.lines().count(), 2, "{name}: {plain}");
        let coloured = logged(&text, Some(true));
        assert_eq!(terminal::screen(coloured.as_bytes()), Ok(()), "{name}");
        assert_eq!(coloured.lines().count(), 2, "{name}: {coloured}");
        let colours = |text: &str| text.matches("\x1b[").count();
        assert_eq!(colours(&coloured), colours(&logged("", Some(true))), "{name}: {coloured}");
    }
    let line = logged("a\nb", Some(false));
    let first = "session{peer=\"a\\nb\" why=a␊b}: rustchat::telemetry::tests: they say a␊b \
                 name=\"a\\nb\" error=a␊b debug=\"a\\nb\"";
    assert!(line.lines().next().unwrap().ends_with(first), "{line}");
}

#[test]
fn a_log_as_json_acts_on_no_terminal_and_loses_nothing() {
    for (name, text) in hostile::texts() {
        let written = logged(&text, None);
        assert_eq!(terminal::lines(written.as_bytes()), Ok(()), "{name}");
        assert_eq!(written.lines().count(), 2, "{name}: {written}");
        let line: serde_json::Value =
            serde_json::from_str(written.lines().next().unwrap()).unwrap();
        assert_eq!((&line["name"], &line["error"]), (&(*text).into(), &(*text).into()), "{name}");
        assert_eq!(line["msg"], format!("they say {text}"), "{name}");
    }
}
