//! Whether what other clusters are told is all there: position after position, each hash made
//! from the one before, up to where the cluster's row says. It must not know where rows lie.

use crate::chat::link::{Exported, LinkNumber, chain};
use crate::chat::state::State;
use crate::store::record::Row;
use crate::wire::{WireError, stored};
use std::collections::BTreeMap;

/// Follows what every cluster is told.
#[derive(Debug, Default)]
pub struct Exports {
    told: BTreeMap<LinkNumber, Exported>,
    broken: Option<String>,
}

impl Exports {
    /// Takes the next row of exports, in the order in which a store exports them.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn take(&mut self, row: &Row) -> Result<(), WireError> {
        let (link, first) = stored::parse_exports_key(&row.key)?;
        let (before, items) = stored::decode_exports(row.value.clone())?;
        let told = self.told.entry(link).or_default();
        if self.broken.is_some() {
            return Ok(());
        }
        let next = told.position.saturating_add(1);
        if first != next {
            self.broken = Some(format!("link {link} has no position {next}"));
        } else if before != told.hash {
            self.broken = Some(format!("link {link} has another hash before position {first}"));
        } else {
            told.position = told.position.saturating_add(items.len() as u64);
            told.hash = items.iter().fold(before, |hash, item| chain(&hash, item));
        }
        Ok(())
    }

    /// The first thing that does not fit, by itself or with the state.
    #[must_use]
    pub fn end(&self, state: &State) -> Option<String> {
        let told = |number| self.told.get(&number).copied().unwrap_or_default();
        let short = || {
            let mut links = state.links().filter(|link| told(link.number) != link.exported);
            let link = links.next()?;
            let (number, has, last) = (link.number, told(link.number), link.exported.position);
            Some(if has.position == last {
                format!("link {number} has another hash at position {last}")
            } else {
                format!("link {number} ends at position {}, not {last}", has.position)
            })
        };
        let known = |number: &&LinkNumber| state.links().any(|link| link.number == **number);
        let stray = || {
            let number = self.told.keys().find(|number| !known(number))?;
            Some(format!("nobody knows link {number}, which was told something"))
        };
        self.broken.clone().or_else(short).or_else(stray)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::Table;
    use crate::store::samples::Sample;

    fn of(rows: &[Row]) -> Exports {
        let mut exports = Exports::default();
        rows.iter().for_each(|row| exports.take(row).unwrap());
        exports
    }

    #[test]
    fn whatever_is_missing_or_another_is_found() {
        let mut sample = Sample::new();
        let steps = [sample.found(), sample.link(), sample.tell(&["1", "2"]), sample.tell(&["3"])];
        let state = sample.state.clone();
        let more = sample.tell(&["4"]);
        let rows = steps.iter().chain([&more]).flat_map(|step| &step.rows);
        let rows: Vec<Row> = rows.filter(|row| row.table == Table::Exports).cloned().collect();
        let [one, two, three] = &rows[..] else { panic!("{rows:?}") };
        let [one, two, three] = [one, two, three].map(Clone::clone);
        let end = |rows: &[Row]| of(rows).end(&state).unwrap_or_default();
        assert_eq!(end(&[one.clone(), two.clone()]), "");
        assert!(end(std::slice::from_ref(&one)).contains("ends at position 2, not 3"));
        assert!(end(&[]).contains("ends at position 0, not 3"));
        assert!(end(std::slice::from_ref(&two)).contains("no position 1"));
        assert!(end(&[one.clone(), two.clone(), three.clone()]).contains("ends at position 4"));
        let swapped = Row { key: two.key.clone(), ..three.clone() };
        assert!(end(&[one.clone(), swapped]).contains("another hash before position 3"));
        let text = Row { value: one.value.clone(), ..one.clone() };
        let mut bytes = text.value.to_vec();
        let at = bytes.iter().position(|byte| *byte == b'1').unwrap();
        bytes[at] = b'x';
        let other = Row { value: bytes.into(), ..text };
        assert!(end(&[other, two.clone()]).contains("another hash before position 3"));
        let stray = of(&[one, two]).end(&State::default()).unwrap();
        assert!(stray.contains("nobody knows link 1"), "{stray}");
    }
}
