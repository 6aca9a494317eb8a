//! Which of the servers that are left has most, and what may be lost with the others. Pure;
//! it must not know files.

use super::plan::Plan;
use crate::cli::outcome::{Failure, Kind};
use std::collections::BTreeSet;

/// What comes of comparing plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The plan of the server to go on with; the place in what was compared.
    pub best: usize,
    /// Voters without a plan, by their Raft ids.
    pub missing: BTreeSet<u64>,
    /// Plans of an earlier generation, by seat: those servers were left behind before.
    pub outdated: Vec<String>,
    /// What is left is a majority: no recovery is needed.
    pub majority: bool,
    /// Those that are missing may have acknowledged messages that no plan here has.
    pub may_lose: bool,
}

/// Compares plans: the latest generation, then the greatest (last term, last index). A longer
/// log of an earlier term is not newer: its end was replaced. Of equals the lowest seat, so that
/// only one is ever chosen.
///
/// # Errors
/// There is none, they are of several clusters, or of one server twice.
pub fn choose(plans: &[Plan]) -> Result<Choice, Failure> {
    let refuse = |text: &str| Err(Failure::text(Kind::Refused, text));
    let Some(first) = plans.first() else { return refuse("there are no plans") };
    if plans.iter().any(|plan| plan.cluster != first.cluster) {
        return refuse("the plans are of different clusters");
    }
    let ids: BTreeSet<u64> = plans.iter().map(|plan| plan.raft_id).collect();
    if ids.len() < plans.len() {
        return refuse("two plans are of the same server: keep its newest");
    }
    let generation = plans.iter().map(|plan| plan.generation).max().unwrap_or_default();
    let current = |plan: &&Plan| plan.generation == generation;
    let key = |plan: &Plan| (plan.generation, plan.last, std::cmp::Reverse(plan.raft_id % 1000));
    let best = (0..plans.len()).max_by_key(|at| plans.get(*at).map(key)).unwrap_or_default();
    let have: BTreeSet<u64> = plans.iter().filter(current).map(|plan| plan.raft_id).collect();
    let voters = plans.get(best).map(|plan| plan.voters.clone()).unwrap_or_default();
    let here = |set: &Vec<u64>| set.iter().filter(|id| have.contains(id)).count();
    Ok(Choice {
        best,
        missing: voters.iter().flatten().copied().filter(|id| !have.contains(id)).collect(),
        outdated: plans.iter().filter(|plan| !current(plan)).map(|plan| plan.id.clone()).collect(),
        majority: !voters.is_empty() && voters.iter().all(|set| 2 * here(set) > set.len()),
        // An entry is committed only where a majority of every set of voters has it.
        may_lose: voters.iter().all(|set| 2 * (set.len() - here(set)) > set.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::At;
    use super::*;

    fn plan(seat: u64, generation: u64, term: u64, index: u64, voters: &[u64]) -> Plan {
        Plan {
            applied: None,
            at: String::new(),
            cluster: "c".into(),
            cluster_name: "west".into(),
            commit: None,
            generation,
            id: seat.to_string(),
            incarnation: seat.to_string(),
            last: Some(At { term, index }),
            members: Vec::new(),
            raft_id: seat,
            schema: 1,
            snapshot: None,
            store: "embedded".into(),
            term,
            voters: vec![voters.to_vec()],
        }
    }

    #[test]
    fn a_later_term_counts_more_than_a_longer_log() {
        let plans = [plan(1, 1, 3, 900, &[1, 2, 3]), plan(2, 1, 4, 10, &[1, 2, 3])];
        assert_eq!(choose(&plans).unwrap().best, 1);
        let plans = [plan(1, 1, 9, 900, &[1, 2, 3]), plan(2, 2, 4, 10, &[2])];
        let choice = choose(&plans).unwrap();
        assert_eq!((choice.best, choice.outdated), (1, vec!["1".to_owned()]));
    }

    #[test]
    fn of_equals_only_one_is_chosen_whatever_their_order() {
        let (one, two) = (plan(1, 1, 3, 9, &[1, 2, 3]), plan(2, 1, 3, 9, &[1, 2, 3]));
        assert_eq!(choose(&[one.clone(), two.clone()]).unwrap().best, 0);
        assert_eq!(choose(&[two, one]).unwrap().best, 1);
    }

    #[test]
    fn what_may_be_lost_is_what_the_missing_could_commit_alone() {
        let look = |seats: &[u64], voters: &[u64]| {
            let plans: Vec<_> = seats.iter().map(|seat| plan(*seat, 1, 3, 9, voters)).collect();
            let choice = choose(&plans).unwrap();
            (choice.majority, choice.may_lose, choice.missing.len())
        };
        assert_eq!(look(&[3], &[1, 2, 3]), (false, true, 2));
        assert_eq!(look(&[2, 3], &[1, 2, 3]), (true, false, 1));
        assert_eq!(look(&[1, 2], &[1, 2, 3, 4]), (false, false, 2));
        assert_eq!(look(&[1], &[1, 2, 3, 4]), (false, true, 3));
        assert_eq!(look(&[1, 2], &[1, 2, 3, 4, 5]), (false, true, 3));
    }

    #[test]
    fn plans_that_do_not_belong_together_are_refused() {
        let mut other = plan(2, 1, 3, 9, &[1, 2, 3]);
        other.cluster = "d".into();
        assert!(choose(&[plan(1, 1, 3, 9, &[1, 2, 3]), other]).is_err());
        let twice = plan(1, 1, 3, 9, &[1, 2, 3]);
        assert!(choose(&[twice.clone(), twice]).is_err());
        assert!(choose(&[]).is_err());
    }
}
