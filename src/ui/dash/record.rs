//! What was answered, written down to be looked at later: a JSON object a line, one for each
//! round of answers, with each answer as it came. Pure. It must not know files.

use crate::chat::text::printable_json;
use crate::report::judge::Verdict;
use crate::report::{Cause, Row};
use crate::wire::client::{decode_server, encode_server};
use crate::wire::message::ServerMsg;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Rises when a reader of the lines would break.
const SCHEMA: u32 = 1;

/// The answers that came together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// When, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// The answers, and what was in the way of others.
    pub rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    schema: u32,
    at_ms: u64,
    /// For those who search in the file.
    verdict: String,
    answers: Vec<Answer>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    addr: String,
    seat: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<(String, String)>,
    /// The node's statement as it was sent, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    round_trip_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skew_ms: Option<i64>,
}

/// A round as a line, without its end.
#[must_use]
pub fn write(round: &Round, verdict: Verdict) -> String {
    let answer = |row: &Row| Answer {
        addr: row.addr.clone(),
        seat: row.seat,
        error: row.error.as_ref().map(|(cause, text)| (cause.code().to_owned(), text.clone())),
        status: row.status.as_ref().map(|s| hex(&encode_server(&ServerMsg::Status(s.clone())))),
        round_trip_us: row.round_trip.and_then(|trip| u64::try_from(trip.as_micros()).ok()),
        skew_ms: row.skew_ms,
    };
    let line = Line {
        schema: SCHEMA,
        at_ms: round.at_ms,
        verdict: verdict.word().to_owned(),
        answers: round.rows.iter().map(answer).collect(),
    };
    // Texts and numbers can always be written.
    printable_json(&serde_json::to_string(&line).unwrap_or_default()).into_owned()
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub fn read(line: &str) -> Result<Round, String> {
    let line: Line = serde_json::from_str(line).map_err(|why| why.to_string())?;
    if line.schema != SCHEMA {
        return Err(format!("it has the schema {}, this program reads {SCHEMA}", line.schema));
    }
    let rows = line.answers.into_iter().map(row).collect::<Result<_, _>>()?;
    Ok(Round { at_ms: line.at_ms, rows })
}

/// Reads all lines of a file.
///
/// # Errors
/// The number of the first line that is wrong, and what is wrong with it.
pub fn read_all(text: &str) -> Result<Vec<Round>, (usize, String)> {
    let rounds: Vec<_> = text
        .lines()
        .enumerate()
        .map(|(at, line)| read(line).map_err(|why| (at + 1, why)))
        .collect::<Result<_, _>>()?;
    if rounds.is_empty() { Err((1, "it is empty".to_owned())) } else { Ok(rounds) }
}

fn row(answer: Answer) -> Result<Row, String> {
    let status = match answer.status {
        None => None,
        Some(text) => {
            let bytes = unhex(&text).ok_or("a statement that is not hexadecimal")?;
            match decode_server(Bytes::from(bytes)) {
                Ok(ServerMsg::Status(status)) => Some(status),
                Ok(_) => return Err("something else than a statement".to_owned()),
                Err(why) => return Err(format!("a statement that cannot be read: {why}")),
            }
        }
    };
    if status.is_none() && answer.error.is_none() {
        return Err(format!("neither a statement nor an error of {}", answer.addr));
    }
    Ok(Row {
        addr: answer.addr,
        seat: answer.seat,
        status,
        error: answer.error.map(|(code, text)| (Cause::of(&code), text)),
        round_trip: answer.round_trip_us.map(Duration::from_micros),
        skew_ms: answer.skew_ms,
        ..Row::default()
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect::<Option<_>>()?;
    let pair = |two: &[u8]| match two {
        [high, low] => Some(high << 4 | low),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}
