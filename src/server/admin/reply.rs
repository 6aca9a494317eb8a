//! How answers are written. It must not know what they say.

use crate::chat::text::printable_json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer in JSON that people may look at in a terminal.
pub fn document(code: StatusCode, document: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (code, kind, printable_json(&document.to_string()).into_owned()).into_response()
}

/// An answer in words, and the same as a word for programs.
pub fn answer(code: StatusCode, result: &str, text: &str) -> Response {
    document(code, &json!({ "result": result, "text": text }))
}
