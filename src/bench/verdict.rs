//! Whether what was measured is enough for whoever asked. It must not know how it was measured.

use serde::Serialize;

/// What a measurement must reach.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// At least so many messages received a second.
    pub min_rate: Option<f64>,
    /// At most so many milliseconds from being due to being received, for 99 of 100.
    pub max_p99_ms: Option<f64>,
}

/// Whether it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// It reached everything that was asked for.
    pub passed: bool,
    /// What it did not reach, a sentence each.
    pub why: Vec<String>,
}

impl Bounds {
    /// The verdict; `None` where nothing was asked for.
    #[must_use]
    pub fn judge(&self, deliveries_per_s: f64, p99_ms: f64) -> Option<Verdict> {
        if *self == Self::default() {
            return None;
        }
        let mut why = Vec::new();
        if let Some(least) = self.min_rate.filter(|least| deliveries_per_s < *least) {
            why.push(format!("{deliveries_per_s:.0} received a second, at least {least} wanted"));
        }
        why.extend(above("p99", p99_ms, self.max_p99_ms, "ms"));
        Some(why.into())
    }
}

/// What is wrong where `is` is more than is wanted, if anything is.
pub fn above(what: &str, is: f64, most: Option<f64>, unit: &str) -> Option<String> {
    let most = most.filter(|most| is > *most)?;
    Some(format!("{what} is {is:.2} {unit}, at most {most} {unit} wanted"))
}

/// Of everything that is wrong.
impl From<Vec<String>> for Verdict {
    fn from(why: Vec<String>) -> Self {
        Self { passed: why.is_empty(), why }
    }
}

impl Verdict {
    /// For people: a line below the report; none where there is no verdict.
    #[must_use]
    pub fn line(verdict: Option<&Self>) -> String {
        match verdict {
            None => String::new(),
            Some(verdict) if verdict.passed => "\n  passed".to_owned(),
            Some(verdict) => format!("\n  not passed: {}", verdict.why.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_that_was_given_counts() {
        let judge = |min_rate, max_p99_ms| Bounds { min_rate, max_p99_ms }.judge(1000.0, 5.0);
        assert_eq!(judge(None, None), None);
        for (min_rate, max_p99_ms, broken) in [
            (Some(1000.0), None, 0),
            (Some(1000.5), None, 1),
            (None, Some(5.0), 0),
            (None, Some(4.9), 1),
            (Some(999.0), Some(4.9), 1),
            (Some(1001.0), Some(4.9), 2),
        ] {
            let verdict = judge(min_rate, max_p99_ms).unwrap();
            assert_eq!((verdict.passed, verdict.why.len()), (broken == 0, broken), "{verdict:?}");
        }
    }
}
