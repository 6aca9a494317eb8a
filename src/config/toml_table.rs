//! A TOML table whose every value knows its line, so that every complaint can
//! name it. It must not know which keys there are.

use super::ConfigError;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file that is being read.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub file: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    /// The line of a byte offset, from 1.
    pub fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count()
    }

    /// A complaint about what stands at `at` (a byte offset).
    pub fn wrong(&self, at: usize, text: impl Into<String>) -> ConfigError {
        ConfigError::Line { file: self.file.into(), line: self.line(at), text: text.into() }
    }

    /// The table that the whole file is.
    pub fn parse(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(self.text).map_err(|why| {
            let at = why.span().map_or(0, |span| span.start);
            self.wrong(at, format!("this is no TOML: {}", why.message().replace('\n', ", ")))
        })
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub at: usize,
}

/// A table, its title for complaints, and where it begins.
pub struct Table<'a> {
    pub source: Source<'a>,
    pub title: &'static str,
    pub entries: &'a DeTable<'a>,
    pub at: usize,
}

impl<'a> Table<'a> {
    /// A complaint about every key that is not one of `keys`, in the order of the file.
    pub fn unknown(&self, keys: &[&str]) -> Vec<ConfigError> {
        let unknown = |key: &str| !keys.contains(&key);
        let mut found: Vec<_> = self.entries.keys().filter(|key| unknown(key.get_ref())).collect();
        found.sort_by_key(|key| key.span().start);
        let complaints = found.into_iter().map(|key| {
            let name = key.get_ref();
            let text = format!("unknown key {name:?} in {}; {}", self.title, advice(name, keys));
            self.source.wrong(key.span().start, text)
        });
        complaints.collect()
    }

    /// The value of `key`, if it is there.
    pub fn get(&self, key: &str) -> Option<(&'a DeValue<'a>, Range<usize>)> {
        let (_, value) = self.entries.iter().find(|(k, _)| k.get_ref() == key)?;
        Some((value.get_ref(), Spanned::span(value)))
    }

    /// The value of `key`, which must be there; `example` is how it is written.
    pub fn need<T>(&self, key: &str, value: Option<T>, example: &str) -> Result<T, ConfigError> {
        value.ok_or_else(|| {
            let text = format!("{key:?} is missing in {}; write {key} = {example}", self.title);
            self.source.wrong(self.at, text)
        })
    }

    /// A text.
    pub fn text(&self, key: &str, example: &str) -> Result<Option<At<String>>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some((DeValue::String(text), span)) => {
                Ok(Some(At { value: text.to_string(), at: span.start }))
            }
            Some((_, span)) => {
                let text = format!("{key:?} must be a text in quotes; write {key} = {example}");
                Err(self.source.wrong(span.start, text))
            }
        }
    }

    /// A whole number of `range`.
    pub fn number(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<At<u32>>, ConfigError> {
        let Some((value, span)) = self.get(key) else {
            return Ok(None);
        };
        let number = match value {
            DeValue::Integer(n) => u32::from_str_radix(n.as_str(), n.radix()).ok(),
            _ => None,
        };
        match number.filter(|n| range.contains(n)) {
            Some(value) => Ok(Some(At { value, at: span.start })),
            None => {
                let (low, high) = (range.start(), range.end());
                let text = format!("{key:?} must be a whole number from {low} to {high}");
                Err(self.source.wrong(span.start, text))
            }
        }
    }

    /// A TCP or UDP port.
    pub fn port(&self, key: &str) -> Result<Option<At<u16>>, ConfigError> {
        let number = self.number(key, 1..=u32::from(u16::MAX))?;
        Ok(number.map(|n| At { value: u16::try_from(n.value).unwrap_or(0), at: n.at }))
    }
}

/// What to write instead of an unknown name.
pub fn advice(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(known) => format!("did you mean {known:?}?"),
        None => format!("allowed are {}", known.join(", ")),
    }
}

/// The key that was probably meant: at most two edits away.
pub fn nearest<'k>(name: &str, keys: &[&'k str]) -> Option<&'k str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let near = keys.iter().map(|key| (edits(&name, key), *key));
    near.filter(|(edits, key)| *edits <= 2 && *edits < key.len()).min().map(|(_, key)| key)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row.first().copied().unwrap_or(0);
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let up = *cell;
            let here = (diagonal + usize::from(ca != *cb)).min(up + 1).min(left + 1);
            diagonal = up;
            left = here;
            *cell = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, n) in [("", "", 0), ("peer", "peer", 0), ("pere", "peer", 2), ("", "abc", 3)] {
            assert_eq!(edits(a, b), n, "{a} {b}");
        }
        assert_eq!(edits("kitten", "sitting"), 3);
    }

    #[test]
    fn a_slip_finds_its_key_and_nonsense_finds_none() {
        let keys = ["cluster", "cluster_id", "discovery", "store", "node"];
        assert_eq!(nearest("clusterid", &keys), Some("cluster_id"));
        assert_eq!(nearest("Cluster", &keys), Some("cluster"));
        assert_eq!(nearest("nodes", &keys), Some("node"));
        assert_eq!(nearest("colour", &keys), None);
    }
}
