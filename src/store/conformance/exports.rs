//! What other clusters are told, as every store must keep it.

use super::Place;
use crate::chat::link::{ChainHash, Export, chain};
use crate::chat::write::Write;
use crate::store::record::{Row, Table};
use crate::store::samples::{EAST, Sample, Step, append, take};
use crate::wire::stored;
use bytes::Bytes;

/// What a page of exports begins with and how many each value holds, after a look at all of it.
fn told(page: &[(u64, Bytes)], expected: &[(ChainHash, Export)]) -> Vec<(u64, usize)> {
    let mut at = None;
    let mut values = Vec::new();
    for (first, value) in page {
        let (before, items) = stored::decode_exports(value.clone()).unwrap();
        let from = at.unwrap_or(*first as usize - 1);
        assert_eq!(*first as usize - 1, from, "no position is missing");
        assert_eq!(before, expected[from].0, "the hash before position {first}");
        let expected = expected[from..].iter().map(|(_, item)| item);
        assert!(items.iter().zip(expected).all(|(item, expected)| item == expected));
        values.push((*first, items.len()));
        at = Some(from + items.len());
    }
    values
}

/// All that the steps tell the other cluster, each with the hash before it.
fn all_told(steps: &[Step]) -> Vec<(ChainHash, Export)> {
    let mut all = Vec::new();
    let mut hash = ChainHash::default();
    for write in steps.iter().flat_map(|step| &step.writes) {
        let Write::Exports { link, first, items, .. } = write else { continue };
        assert_eq!((*link, *first), (EAST, all.len() as u64 + 1));
        for item in items {
            let before = hash;
            hash = chain(&before, item);
            all.push((before, item.clone()));
        }
    }
    all
}

/// Three entries that tell the other cluster something, with other entries between them: three
/// positions, one, and marks.
fn telling(sample: &mut Sample) -> Vec<Step> {
    let mut steps = vec![sample.found(), sample.link(), sample.tell(&["1", "2", "3"])];
    steps.push(sample.send(&["to bob"]));
    steps.push(sample.tell(&["4"]));
    steps.push(sample.answered("and you"));
    steps.push(sample.send(&["to bob"]));
    steps
}

pub(super) async fn what_a_cluster_is_told_comes_in_pages(place: &Place) {
    let store = place.open().await;
    let mut sample = Sample::new();
    let steps = telling(&mut sample);
    let all = all_told(&steps);
    assert_eq!(all.len(), 5);
    assert_eq!(sample.exported(), 5);
    for step in steps {
        take(&*store, step).await.unwrap();
    }
    for flushed in [false, true] {
        if flushed {
            store.persist().await.unwrap();
        }
        let page = async |from, bytes| told(&store.exports(EAST, from, bytes).await.unwrap(), &all);
        assert_eq!(page(1, 1 << 20).await, [(1, 3), (4, 1), (5, 1)]);
        assert_eq!(page(2, 1 << 20).await, [(1, 3), (4, 1), (5, 1)], "values are not cut");
        assert_eq!(page(3, 1 << 20).await, [(1, 3), (4, 1), (5, 1)]);
        assert_eq!(page(4, 1 << 20).await, [(4, 1), (5, 1)]);
        assert_eq!(page(5, 1 << 20).await, [(5, 1)]);
        assert_eq!(page(6, 1 << 20).await, [(5, 1)], "the last one, which ends before");
        assert_eq!(page(u64::MAX, 1 << 20).await, [(5, 1)]);
        assert_eq!(page(1, 1).await, [(1, 3)], "at least one value");
        assert_eq!(page(4, 1).await, [(4, 1)]);
        assert_eq!(page(0, 1 << 20).await, [], "there is no position 0");
        for nobody in [0, 2, u64::MAX] {
            assert_eq!(store.exports(nobody, 1, 1 << 20).await.unwrap(), []);
        }
    }
    // Some of it is flushed, some is not.
    let step = sample.tell(&["5", "6"]);
    take(&*store, step).await.unwrap();
    for from in [1, 3, 5, 6, 7] {
        let page = store.exports(EAST, from, 1 << 20).await.unwrap();
        assert_eq!(page.last().map(|(first, _)| *first), Some(6), "from {from}");
        let first = page.first().map(|(first, _)| *first);
        assert_eq!(first, Some([1, 1, 1, 1, 4, 5, 6, 6][from as usize]), "from {from}");
    }
}

/// What is above the mark does not count, wherever it lies, and comes back with its entry.
pub(super) async fn what_a_cluster_is_told_comes_back(place: &Place) {
    let store = place.open().await;
    let mut sample = Sample::new();
    let steps = telling(&mut sample);
    let all = all_told(&steps);
    for step in steps {
        take(&*store, step).await.unwrap();
    }
    // In the log only, and cut off there.
    let lost = sample.clone().tell(&["lost"]);
    let index = lost.entry.id.index;
    append(&*store, vec![lost.entry]).await.unwrap();
    store.truncate(index).await.unwrap();
    // Brought by a snapshot that never came to its end.
    let mut later = sample.clone();
    let brought = later.tell(&["brought", "too early"]);
    store.begin_import(false).await.unwrap();
    let is_history = |row: &Row| row.table >= Table::History;
    let rows = brought.rows.iter().filter(|row| is_history(row)).cloned();
    let rows = rows.filter(|row| row.table != Table::Links).collect();
    store.import(rows).await.unwrap();
    let page = store.exports(EAST, 1, 1 << 20).await.unwrap();
    assert_eq!(told(&page, &all), [(1, 3), (4, 1), (5, 1)], "invisible until it is installed");
    let store = place.reopen(store).await;
    store.begin_import(false).await.unwrap();
    let page = store.exports(EAST, 1, 1 << 20).await.unwrap();
    assert_eq!(told(&page, &all), [(1, 3), (4, 1), (5, 1)]);
    assert_eq!(store.load().await.unwrap(), sample.state.rows().collect::<Vec<Write>>());
    take(&*store, brought).await.unwrap();
    store.persist().await.unwrap();
    let store = place.reopen(store).await;
    let page = store.exports(EAST, 6, 1 << 20).await.unwrap();
    let (before, items) = stored::decode_exports(page[0].1.clone()).unwrap();
    assert_eq!((page.len(), page[0].0, items.len()), (1, 6, 2));
    let ends = items.iter().fold(before, |hash, item| chain(&hash, item));
    assert_eq!(Some(ends), later.state.links().next().map(|link| link.exported.hash));
}
