//! Who sends to whom in each job. It must not know any clock.

use super::people::{Person, account, enter_all};
use super::sending::Sender;
use super::{Job, Plan};
use crate::chat::command::Target;
use anyhow::Context;
use std::collections::BTreeSet;

/// Everybody, logged in.
#[derive(Default)]
pub struct Cast {
    /// Who sends, and how much.
    pub senders: Vec<(Sender, u64)>,
    /// Who receives, and how much.
    pub receivers: Vec<(Person, u64)>,
    /// Seats of the senders' servers.
    pub from: BTreeSet<u32>,
    /// Seats of the receivers' servers.
    pub to: BTreeSet<u32>,
}

/// Registers and logs in whom the job needs.
pub async fn enter(plan: &Plan) -> anyhow::Result<Cast> {
    match plan.job {
        Job::Fanout { devices } => one_with_devices(plan, devices).await,
        job => pairs(plan, job.senders()).await,
    }
}

async fn pairs(plan: &Plan, count: u32) -> anyhow::Result<Cast> {
    let tag = rand::random::<u32>();
    let accounts = (1..=2 * count).map(|n| account(format!("bench-{tag:08x}-{n}"))).collect();
    let people = enter_all(&plan.finding, accounts, plan.progress).await?;
    let pairs = pair_up(people, |person| person.seat);
    let mut cast = Cast::default();
    for ((sender, receiver), messages) in pairs.into_iter().zip(split(plan.messages, count)) {
        cast.from.insert(sender.seat);
        cast.to.insert(receiver.seat);
        let to = vec![Target::User(receiver.user)];
        cast.senders.push((Sender::new(sender, to, plan.size)?, messages));
        cast.receivers.push((receiver, messages));
    }
    Ok(cast)
}

async fn one_with_devices(plan: &Plan, devices: u32) -> anyhow::Result<Cast> {
    let tag = rand::random::<u32>();
    let mut user = account(format!("bench-{tag:08x}-r"));
    let first = vec![account(format!("bench-{tag:08x}-s")), user.clone()];
    let mut people = enter_all(&plan.finding, first, plan.progress).await?;
    // Registered by now; every further device logs in with the password once.
    user.register = false;
    let others = (1..devices).map(|_| user.clone()).collect();
    people.extend(enter_all(&plan.finding, others, plan.progress).await?);
    let mut people = people.into_iter();
    let sender = people.next().context("nobody is logged in")?;
    let mut cast = Cast::default();
    cast.from.insert(sender.seat);
    cast.receivers.extend(people.map(|device| (device, plan.messages)));
    cast.to.extend(cast.receivers.iter().map(|(device, _)| device.seat));
    let to = cast.receivers.first().map(|(device, _)| Target::User(device.user));
    let sender = Sender::new(sender, to.into_iter().collect(), plan.size)?;
    cast.senders.push((sender, plan.messages));
    Ok(cast)
}

/// Senders and receivers: on different servers as long as none has more than half of all. Who of
/// a pair sends alternates, so that the servers share both sides of the work.
fn pair_up<T>(mut people: Vec<T>, seat: impl Fn(&T) -> u32) -> Vec<(T, T)> {
    people.sort_by_key(seat);
    let others = people.split_off(people.len() / 2);
    let pairs = people.into_iter().zip(others).enumerate();
    pairs.map(|(n, (a, b))| if n % 2 == 0 { (a, b) } else { (b, a) }).collect()
}

/// So many messages in as many parts, of which none has more than one more than another.
fn split(messages: u64, parts: u32) -> impl Iterator<Item = u64> {
    let count = u64::from(parts.max(1));
    let (each, more) = (messages / count, messages % count);
    (0..u64::from(parts)).map(move |n| each + u64::from(n < more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use rand::Rng;

    #[test]
    fn messages_are_split_evenly_and_none_is_lost() {
        assert_eq!(split(10, 4).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert_eq!(split(2, 3).collect::<Vec<_>>(), [1, 1, 0]);
        seeds(200, |rng| {
            let (messages, parts) = (rng.random_range(0..1_000_000), rng.random_range(1..1000));
            let split: Vec<_> = split(messages, parts).collect();
            assert_eq!(split.len(), parts as usize);
            assert_eq!(split.iter().sum::<u64>(), messages);
            assert!(split.iter().max().unwrap() - split.iter().min().unwrap() <= 1);
        });
    }

    #[test]
    fn pairs_are_on_different_servers_where_that_is_possible() {
        seeds(300, |rng| {
            let pairs = rng.random_range(1..100_usize);
            let servers = rng.random_range(2..6);
            let mut left = vec![0; servers];
            // Nobody gets more than half.
            for _ in 0..2 * pairs {
                let free: Vec<_> = (0..servers).filter(|s| left[*s] < pairs).collect();
                left[free[rng.random_range(0..free.len())]] += 1;
            }
            let people = left.iter().zip(1_u32..).flat_map(|(n, seat)| vec![seat; *n]);
            let mut people: Vec<_> = people.enumerate().collect();
            people.reverse();
            let paired = pair_up(people, |(_, seat)| *seat);
            assert_eq!(paired.len(), pairs);
            assert!(paired.iter().all(|(a, b)| a.1 != b.1), "{left:?}: {paired:?}");
            let all = paired.iter().flat_map(|(a, b)| [a.0, b.0]);
            assert_eq!(all.collect::<BTreeSet<_>>().len(), 2 * pairs);
        });
    }

    #[test]
    fn both_sides_are_shared_by_two_servers() {
        let people = [1, 2, 1, 2, 1, 2, 1, 2];
        let paired = pair_up(people.to_vec(), |seat| *seat);
        assert_eq!(paired, [(1, 2), (2, 1), (1, 2), (2, 1)]);
    }
}
