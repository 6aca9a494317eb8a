//! Documents of other clusters, made for people to read and query, and the trails of
//! conversations with their users. It must not know how documents are written.

use super::fields::{Reading, date, hex, int, number};
use crate::chat::ids::{ClusterId, DeviceId};
use crate::chat::link::{Exported, Imported, Link, Stop, Stretch, Trust};
use crate::store::StoreError;
use mongodb::bson::{Bson, Document, doc};

const TRUSTS: [(Trust, &str); 5] = [
    (Trust::Seen, "seen"),
    (Trust::Trusted, "trusted"),
    (Trust::Distrusted, "distrusted"),
    (Trust::Stopped(Stop::OtherHistory), "stopped: other history"),
    (Trust::Stopped(Stop::RolledBack), "stopped: rolled back"),
];

/// The document of another cluster.
pub(super) fn link(link: &Link) -> Document {
    let trust = TRUSTS.iter().find(|(trust, _)| *trust == link.trust);
    doc! {
        "_id": link.number.to_string(),
        "cluster": link.cluster.to_string(),
        "former": link.former.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "name": &link.name,
        "alias": &link.alias,
        "key": hex(&link.key),
        "address": &link.address,
        "heard_at": date(link.heard_ms),
        "trust": trust.map(|(_, word)| *word),
        "imported_generation": int(link.imported.generation),
        "imported": int(link.imported.position),
        "imported_hash": hex(&link.imported.hash),
        "exported": int(link.exported.position),
        "exported_hash": hex(&link.exported.hash),
        "turned_down": int(link.turned_down),
        "rows": int(link.rows),
    }
}

/// The cluster that a document stands for.
///
/// # Errors
/// `Corrupt` where a field is missing or makes no sense.
pub(super) fn read_link(read: &Reading<'_>) -> Result<Link, StoreError> {
    let former = read.list("former")?.iter();
    let former = former.map(|id| id.as_str().and_then(ClusterId::parse)).collect::<Option<_>>();
    let word = read.text("trust")?;
    let trust = TRUSTS.iter().find(|(_, known)| *known == word).map(|(trust, _)| *trust);
    Ok(Link {
        number: read.id("_id", |id| id.parse().ok())?,
        cluster: read.id("cluster", ClusterId::parse)?,
        former: former.ok_or_else(|| read.bad("former"))?,
        name: read.text("name")?.to_owned(),
        alias: read.text("alias")?.to_owned(),
        key: read.hex("key")?,
        address: read.text("address")?.to_owned(),
        heard_ms: read.date("heard_at")?,
        trust: trust.ok_or_else(|| read.bad("trust"))?,
        imported: Imported {
            generation: read.number("imported_generation")?,
            position: read.number("imported")?,
            hash: read.hex("imported_hash")?,
        },
        exported: Exported { position: read.number("exported")?, hash: read.hex("exported_hash")? },
        turned_down: read.number("turned_down")?,
        rows: read.number("rows")?,
    })
}

/// The trail of a conversation, as its document has it.
pub(super) fn trail(stretches: &[Stretch]) -> Vec<Document> {
    let stretch = |s: &Stretch| {
        doc! {
            "first_seq": int(s.first_seq), "count": int(s.count),
            "device": s.device.to_string(), "first_number": int(s.first_number),
        }
    };
    stretches.iter().map(stretch).collect()
}

/// The trail that a conversation's document has; programs before there were links wrote none.
///
/// # Errors
/// `Corrupt` where it makes no sense.
pub(super) fn read_trail(read: &Reading<'_>) -> Result<Vec<Stretch>, StoreError> {
    if !read.has("trail") {
        return Ok(Vec::new());
    }
    let stretch = |stretch: &Bson| {
        let document = stretch.as_document()?;
        Some(Stretch {
            first_seq: number(document, "first_seq")?,
            count: number(document, "count")?,
            device: document.get_str("device").ok().and_then(DeviceId::parse)?,
            first_number: number(document, "first_number")?,
        })
    };
    let trail: Option<_> = read.list("trail")?.iter().map(stretch).collect();
    trail.ok_or_else(|| read.bad("trail"))
}

#[cfg(test)]
mod tests {

    use crate::chat::scripts;
    use crate::chat::write::Write;
    use crate::store::mongo::{documents, fields};
    use crate::wire::random;

    #[test]
    fn every_link_and_every_trail_comes_back() {
        let (mut links, mut trails) = (0, 0);
        scripts::seeds(2000, |rng| {
            let write = random::write(rng);
            match &write {
                Write::Link(_) => links += 1,
                Write::Conversation(room) => trails += usize::from(!room.trail.is_empty()),
                _ => return,
            }
            let (collection, document) =
                documents::document(&write, 7, &documents::Directory::default()).unwrap();
            assert!([fields::LINKS, fields::CONVERSATIONS].contains(&collection));
            assert_eq!(documents::write_of(collection, &document).unwrap(), write);
        });
        assert!(std::env::var("RUSTCHAT_SEED").is_ok() || (links > 100 && trails > 50));
    }
}
