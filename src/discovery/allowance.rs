//! How many answers go out: in all, and to one network, so that no network can use up what others
//! are due or be flooded with answers to questions that it did not ask. Sans-IO; its memory is
//! bounded. It must not know sockets or what an answer says.

use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::Instant;

/// Answers in a second, and at once after a quiet time.
pub const ANSWERS_PER_SECOND: u32 = 5000;
/// Of these, answers to one network of 256 addresses.
pub const ANSWERS_PER_NETWORK: u32 = 500;
/// Networks that are told apart at a time.
pub const NETWORKS: usize = 64;

/// A bucket of answers.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    most: u32,
    left: u32,
    filled_at: Instant,
}

impl Bucket {
    const fn new(most: u32, now: Instant) -> Self {
        Self { most, left: most, filled_at: now }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_nanos();
        let second = Duration::from_secs(1).as_nanos();
        let more = passed * u128::from(self.most) / second;
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(self.most);
            self.left = self.left.saturating_add(more).min(self.most);
            self.filled_at = now;
        }
    }
}

/// The answers that may still go out now.
#[derive(Debug)]
pub struct Allowance {
    all: Bucket,
    /// At most [`NETWORKS`], each with its first three octets.
    each: Vec<([u8; 3], Bucket)>,
}

impl Allowance {
    /// All of them.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { all: Bucket::new(ANSWERS_PER_SECOND, now), each: Vec::new() }
    }

    /// True if one may go to this address; then it counts as sent.
    pub fn take(&mut self, to: Ipv4Addr, now: Instant) -> bool {
        self.all.fill(now);
        if self.all.left == 0 {
            return false;
        }
        let Some(network) = self.network(to, now) else { return false };
        if network.left == 0 {
            return false;
        }
        network.left -= 1;
        self.all.left -= 1;
        true
    }

    /// The bucket of a network. Where there is no room for one more, the network is forgotten
    /// that has most left: it loses least, and the bound for all answers stands in any case.
    fn network(&mut self, to: Ipv4Addr, now: Instant) -> Option<&mut Bucket> {
        let [a, b, c, _] = to.octets();
        let key = [a, b, c];
        let known = self.each.iter().position(|(network, _)| *network == key);
        let at = known.unwrap_or_else(|| {
            let fresh = (key, Bucket::new(ANSWERS_PER_NETWORK, now));
            if self.each.len() < NETWORKS {
                self.each.push(fresh);
                return self.each.len() - 1;
            }
            self.each.iter_mut().for_each(|(_, bucket)| bucket.fill(now));
            let rich = self.each.iter().enumerate().max_by_key(|(_, (_, bucket))| bucket.left);
            let at = rich.map_or(0, |(at, _)| at);
            if let Some(place) = self.each.get_mut(at) {
                *place = fresh;
            }
            at
        });
        let (_, bucket) = self.each.get_mut(at)?;
        bucket.fill(now);
        Some(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use rand::Rng;

    const SECOND: Duration = Duration::from_secs(1);

    fn given(allowance: &mut Allowance, to: [u8; 4], asked: u32, now: Instant) -> u32 {
        let to = Ipv4Addr::from(to);
        (0..asked).map(|_| u32::from(allowance.take(to, now))).sum()
    }

    #[test]
    fn a_flood_from_one_network_leaves_the_others_theirs() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        assert_eq!(given(&mut allowance, [10, 0, 0, 1], 9_000, now), ANSWERS_PER_NETWORK);
        assert_eq!(given(&mut allowance, [10, 0, 0, 2], 10, now), 0, "the same network");
        assert_eq!(given(&mut allowance, [10, 0, 1, 1], 10, now), 10);
        let soon = now + SECOND / 100;
        assert_eq!(given(&mut allowance, [10, 0, 0, 1], 9_000, soon), ANSWERS_PER_NETWORK / 100);
    }

    #[test]
    fn a_flood_from_everywhere_gets_few_answers() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let all: u32 =
            (0..100_000u32).map(|n| given(&mut allowance, n.to_be_bytes(), 1, now)).sum();
        assert_eq!(all, ANSWERS_PER_SECOND);
        assert!(allowance.each.len() <= NETWORKS);
    }

    /// Among no more networks than are told apart, each second of each stays in its bound.
    #[test]
    fn no_order_of_questions_gets_more_than_its_share() {
        seeds(50, |rng| {
            let mut now = Instant::now();
            let begin = now;
            let mut allowance = Allowance::new(now);
            let mut sent = [0u32; NETWORKS];
            for _ in 0..3_000 {
                now += Duration::from_micros(rng.random_range(0..2_000));
                let n = rng.random_range(0..NETWORKS);
                let to = [10, 1, u8::try_from(n).unwrap(), rng.random()];
                sent[n] += given(&mut allowance, to, rng.random_range(0..40), now);
            }
            let seconds = u32::try_from((now - begin).as_millis() / 1000 + 2).unwrap();
            assert!(sent.iter().all(|sent| *sent <= seconds * ANSWERS_PER_NETWORK));
            assert!(sent.iter().sum::<u32>() <= seconds * ANSWERS_PER_SECOND);
        });
    }
}
