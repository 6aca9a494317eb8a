//! What the leader does with the answers of another cluster, sans-IO: it asks from where this
//! cluster's log stands, proposes what follows on that, and names what is wrong. It must not know
//! lines or clocks.

use crate::chat::command::{Command, Import};
use crate::chat::link::{Link, Stop};
use crate::limits;
use crate::wire::link::{LinkAnswer, LinkAsk, LinkReason, Pull};
use std::time::Duration;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask again at once.
    Ask,
    /// Propose this, wait until it is applied, then ask again.
    Propose(Box<Command>),
    /// Ask again after this time.
    Wait(Duration, String),
    /// The answer broke the protocol: the line is given up, and tried again after a while.
    Broken(String),
}

/// The next ask of the link as this cluster's log has it.
#[must_use]
pub fn ask(link: &Link) -> LinkAsk {
    LinkAsk::Pull(Pull {
        generation: link.imported.generation,
        position: link.imported.position,
        hash: link.imported.hash,
        wait_ms: u32::try_from(limits::LINK_WAIT.as_millis()).unwrap_or(u32::MAX),
        max_bytes: limits::EXPORTS_BYTES,
    })
}

/// What an answer to [`ask`] means. `link` is what was asked with.
#[must_use]
pub fn on_answer(link: &Link, answer: LinkAnswer) -> Next {
    let (cluster, at) = (link.cluster, link.imported);
    let stop = |why| Next::Propose(Box::new(Command::StopLink { cluster, why }));
    match answer {
        LinkAnswer::Exports(exports) => {
            let follows = exports.first == at.position + 1 && exports.generation == at.generation;
            let last = at.position.checked_add(exports.items.len() as u64);
            if !follows || last.is_none_or(|last| last > exports.last) {
                return Next::Broken("its exports do not follow on what was asked for".to_owned());
            }
            if exports.before != at.hash {
                return stop(Stop::OtherHistory);
            }
            if exports.items.is_empty() {
                return Next::Ask;
            }
            let (generation, first, before) = (exports.generation, exports.first, exports.before);
            let items = exports.items;
            let import = Import { cluster, generation, first, before, items };
            Next::Propose(Box::new(Command::Import(import)))
        }
        LinkAnswer::Refused(refused) => match refused.reason {
            LinkReason::OtherHistory => stop(Stop::OtherHistory),
            LinkReason::RolledBack => stop(Stop::RolledBack),
            LinkReason::Generation if refused.generation > at.generation => {
                let generation = refused.generation;
                Next::Propose(Box::new(Command::Rewind { cluster, generation }))
            }
            LinkReason::Busy => {
                let wait = Duration::from_millis(u64::from(refused.retry_ms));
                Next::Wait(wait.clamp(limits::LINK_RETRY, limits::LINK_RETRY_MAX), refused.text)
            }
            LinkReason::NotTrusted => Next::Wait(limits::LINK_RETRY_MAX, refused.text),
            _ => Next::Broken(format!("it refuses: {}", refused.text)),
        },
        _ => Next::Broken("it answers something else than it was asked".to_owned()),
    }
}

/// True once what was proposed shows in the log, or something else came between.
#[must_use]
pub fn is_settled(asked: &Link, now: Option<&Link>) -> bool {
    now.is_none_or(|now| {
        (now.cluster, now.trust, now.imported) != (asked.cluster, asked.trust, asked.imported)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ids::ClusterId;
    use crate::chat::link::{Imported, Trust};
    use crate::chat::scripts::seeds;
    use crate::wire::link::{Exports, LinkRefused};
    use crate::wire::random;
    use rand::Rng;

    fn link(position: u64) -> Link {
        Link {
            number: 1,
            cluster: ClusterId([5; 16]),
            trust: Trust::Trusted,
            imported: Imported { generation: 2, position, hash: [7; 32] },
            ..Link::default()
        }
    }

    /// Whatever it answers, only what follows on the log is proposed, from where the log stands.
    #[test]
    fn only_what_follows_is_proposed() {
        seeds(2_000, |rng| {
            let link = link(rng.random_range(0..3));
            let at = link.imported;
            let exports = Exports {
                generation: rng.random_range(1..4),
                first: rng.random_range(0..5),
                before: if rng.random() { at.hash } else { [8; 32] },
                items: (0..rng.random_range(0..3)).map(|_| random::export(rng)).collect(),
                last: rng.random_range(0..8),
            };
            let follows = exports.generation == 2 && exports.first == at.position + 1;
            let last = at.position + exports.items.len() as u64;
            let next = on_answer(&link, LinkAnswer::Exports(exports.clone()));
            let expected = match (follows && last <= exports.last, exports.before == at.hash) {
                (false, _) => {
                    assert!(matches!(next, Next::Broken(_)), "{next:?}");
                    return;
                }
                (true, false) => {
                    Command::StopLink { cluster: link.cluster, why: Stop::OtherHistory }
                }
                (true, true) if exports.items.is_empty() => return assert_eq!(next, Next::Ask),
                (true, true) => Command::Import(Import {
                    cluster: link.cluster,
                    generation: 2,
                    first: at.position + 1,
                    before: at.hash,
                    items: exports.items,
                }),
            };
            assert_eq!(next, Next::Propose(Box::new(expected)));
        });
    }

    #[test]
    fn what_it_refuses_for_decides_what_comes_next() {
        let link = link(4);
        let refused = |reason, generation, retry_ms| {
            let text = String::new();
            on_answer(
                &link,
                LinkAnswer::Refused(LinkRefused { reason, text, retry_ms, generation }),
            )
        };
        let proposes = |next| match next {
            Next::Propose(command) => Some(*command),
            _ => None,
        };
        let cluster = link.cluster;
        let stop = |why| Some(Command::StopLink { cluster, why });
        assert_eq!(proposes(refused(LinkReason::RolledBack, 0, 0)), stop(Stop::RolledBack));
        assert_eq!(proposes(refused(LinkReason::OtherHistory, 0, 0)), stop(Stop::OtherHistory));
        let rewind = Some(Command::Rewind { cluster, generation: 3 });
        assert_eq!(proposes(refused(LinkReason::Generation, 3, 0)), rewind);
        let earlier = refused(LinkReason::Generation, 2, 0);
        assert!(matches!(earlier, Next::Broken(_)), "{earlier:?}");
        for (asked, given) in [(0, limits::LINK_RETRY), (u32::MAX, limits::LINK_RETRY_MAX)] {
            let busy = refused(LinkReason::Busy, 0, asked);
            assert_eq!(busy, Next::Wait(given, String::new()));
        }
    }
}
