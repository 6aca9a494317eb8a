//! Recorded screens: how the cluster looks in each of its states, at two sizes.

use super::{NOW, electing, healthy, no_quorum, screen, split};
use crate::ui::dash::update::{Model, Msg, update};

#[track_caller]
fn check(model: &Model, at_80: &str, at_120: &str) {
    for (expected, width, height) in [(at_80, 80, 24), (at_120, 120, 40)] {
        let shown = screen(model, width, height);
        assert_eq!(shown, expected[1..], "\n{shown}");
    }
}

#[test]
fn all_is_well() {
    check(&healthy(), OK_80, OK_120);
}

#[test]
fn the_leader_is_dead_and_another_one_campaigns() {
    let mut model = electing();
    // What it was on the way is no longer shown.
    update(&mut model, Msg::Now(NOW + 2450));
    check(&model, ELECTING_80, ELECTING_120);
}

#[test]
fn one_of_three_is_left() {
    check(&no_quorum(), NO_QUORUM_80, NO_QUORUM_120);
}

#[test]
fn two_lead_in_one_term() {
    check(&split(), SPLIT_80, SPLIT_120);
}

const OK_80: &str = "
 rustchat dash  west  id 7f7f7f7f  gen 1  embedded                 12:01:08 UTC
 OK  quorum: need 2 of 3, live 3, can lose 1
 leader n1 t41 for 11m  leader changes in 15m: 1
 NODE ROLE         TERM    LAST  LAG    HB FSYNCp99 SESS  SEEN  WHY
>n1   LEADER          41  89,132    0     -    2.9ms  211  0.0s
 n2   FOLLOWER        41  89,132    0  0.2s    2.9ms  212  0.0s
 n3   FOLLOWER        41  89,132    0  0.2s    2.9ms  213  0.0s

 commit/s ██▆█▆██▆█ 14     commit p99 ███████ 5.2ms  msgs/s ▅██████▅███ 129
 fsync p99  n1 ▇████ 3.5ms  n2 ▇████ 3.5ms  n3 ▇████ 3.5ms  sess ███ 636
 leader  n1========================================================== 2s/column
 term    41

 TIMELINE  newest first, UTC
 11:49:08.010 t41  n1 LEADER, 3 of 3 votes in 10ms, leaderless 910ms
 11:49:08.004 t41  n1 CANDIDATE, votes for itself; yes n2 n3
 11:49:08.000 t41  n1 PRECANDIDATE (no_leader): yes n2 n3
 11:49:07.100 -    n1 started





  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze
";

const OK_120: &str = "
 rustchat dash  west  id 7f7f7f7f  gen 1  embedded                                                         12:01:08 UTC
 OK  quorum: need 2 of 3, live 3, can lose 1
 leader n1 t41 for 11m  leader changes in 15m: 1
 NODE ROLE         TERM VOTE    LAST  COMMIT APPLIED  LAG    HB FSYNCp99 SESS  SEEN  WHY
>n1   LEADER          41   n1  89,132  89,130  89,130    0     -    2.9ms  211  0.0s
 n2   FOLLOWER        41   n1  89,132  89,130  89,130    0  0.2s    2.9ms  212  0.0s
 n3   FOLLOWER        41   n1  89,132  89,130  89,130    0  0.2s    2.9ms  213  0.0s

 commit/s ▆█▆██▆█▆██▆█ 14     commit p99 ██████████ 5.2ms  msgs/s ███▅██████▅███ 129    sessions ████████████ 636
 fsync p99  n1 ████▇████▇████▇████▇████ 3.5ms  n2 ████▇████▇████▇████▇████ 3.5ms  n3 ████▇████▇████▇████▇████ 3.5ms
 leader  n1================================================================================================== 2s/column
 term    41

 TIMELINE  newest first, UTC
 11:49:08.010 t41  n1 LEADER, 3 of 3 votes in 10ms, leaderless 910ms
 11:49:08.004 t41  n1 CANDIDATE, votes for itself; yes n2 n3
 11:49:08.000 t41  n1 PRECANDIDATE (no_leader): yes n2 n3
 11:49:07.100 -    n1 started





















  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze
";

const ELECTING_80: &str = "
 rustchat dash  west  id 7f7f7f7f  gen 1  embedded                 12:01:10 UTC
 ELECTING  leaderless 2.0s  quorum: need 2 of 3, live 2, can lose 0
 last leader n1 t41 (connection_lost)  leader changes in 15m: 1
 Enough voters answer: an election is due. Missing: n1 (conn_refused 2.4s).
 NODE ROLE         TERM    LAST  LAG    HB FSYNCp99 SESS  SEEN  WHY
>n1   UNREACHABLE    ~41 ~89,132    -     -   ~2.9ms ~211  2.4s  conn_refused, …
 n2   CANDIDATE       42  89,132    -  2.0s    2.9ms  212  0.4s  no_leader
 n3   FOLLOWER        42  89,132    -  2.0s  810ms!!  213  0.4s  slow_disk …

 commit/s ▆█▆██▆█▆▁ 0      commit p99 ██████  -      msgs/s █████▅████▁ 0
 fsync p99  n2 ████▇████▇▇ 2.9ms  n3 ▂▂▂▂▂▂▂▂▂▂█ 810ms  sess ████████▆ 425
 leader  n1========================================================?? 2s/column
 term    41

 TIMELINE  newest first, UTC
 12:01:09.235 t42  n2 no majority yet: 1 of 3 votes
 12:01:09.235 t42  n2 CANDIDATE, votes for itself
 12:01:09.230 t42  n2 PRECANDIDATE (connection_lost): yes n3; silent n1
 12:01:09.210 t41  n2 lost n1: connection_lost (so did n3)
 11:49:08.010 t41  n1 LEADER, 3 of 3 votes in 10ms, leaderless 910ms
 11:49:08.004 t41  n1 CANDIDATE, votes for itself; yes n2 n3
 11:49:08.000 t41  n1 PRECANDIDATE (no_leader): yes n2 n3
 11:49:07.100 -    n1 started
  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze
";

const ELECTING_120: &str = "
 rustchat dash  west  id 7f7f7f7f  gen 1  embedded                                                         12:01:10 UTC
 ELECTING  leaderless 2.0s  quorum: need 2 of 3, live 2, can lose 0
 last leader n1 t41 (connection_lost)  leader changes in 15m: 1
 Enough voters answer: an election is due. Missing: n1 (conn_refused 2.4s).
 NODE ROLE         TERM VOTE    LAST  COMMIT APPLIED  LAG    HB FSYNCp99 SESS  SEEN  WHY
>n1   UNREACHABLE    ~41  ~n1 ~89,132 ~89,130 ~89,130    -     -   ~2.9ms ~211  2.4s  conn_refused, n2 heard it 2.5s ago
 n2   CANDIDATE       42   n2  89,132  89,130  89,130    -  2.0s    2.9ms  212  0.4s  no_leader
 n3   FOLLOWER        42   n2  89,132  89,130  89,130    -  2.0s  810ms!!  213  0.4s  slow_disk no_leader

 commit/s ▆██▆█▆██▆█▆▁ 0      commit p99 █████████  -      msgs/s █▅██████▅████▁ 0      sessions ███████████▆ 425
 fsync p99  n2 ██▇████▇████▇████▇████▇████▇▇ 2.9ms  n3 ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂█ 810ms
 leader  n1================================================================================================?? 2s/column
 term    41

 TIMELINE  newest first, UTC
 12:01:09.235 t42  n2 no majority yet: 1 of 3 votes
 12:01:09.235 t42  n2 CANDIDATE, votes for itself
 12:01:09.230 t42  n2 PRECANDIDATE (connection_lost): yes n3; silent n1
 12:01:09.210 t41  n2 lost n1: connection_lost (so did n3)
 11:49:08.010 t41  n1 LEADER, 3 of 3 votes in 10ms, leaderless 910ms
 11:49:08.004 t41  n1 CANDIDATE, votes for itself; yes n2 n3
 11:49:08.000 t41  n1 PRECANDIDATE (no_leader): yes n2 n3
 11:49:07.100 -    n1 started
















  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze
";

const NO_QUORUM_80: &str = "
 rustchat dash  west  id 7f7f7f7f  gen 1  embedded                 12:01:49 UTC
 NO QUORUM  leaderless 6.0s  quorum: need 2 of 3, live 1, can lose 0
 last leader n1 t41 (conn_refused)  leader changes in 15m: 1
 1 of 3 voters answers, 2 needed. Writes stop; reads are stale. Missing: n1
 (conn_refused 6.0s), n2 (timeout 41.0s). If they will not return: rustchat
 recover plan
 NODE ROLE         TERM    LAST  LAG    HB FSYNCp99 SESS  SEEN  WHY
>n1   UNREACHABLE    ~41 ~89,552    -     -   ~2.9ms ~211  6.0s  conn_refused, …
 n2   UNREACHABLE    ~41 ~89,132    -     -   ~2.9ms ~212 41.0s  timeout, …
 n3   FOLLOWER        41  89,552    -  6.0s    2.9ms  213  0.0s  no_leader

 commit/s █▆█▆▁▁▁▁▁ 0      commit p99 ██      -      msgs/s █▅████▁▁▁▁▁ 0
 fsync p99  n3 █▇████▇████▇████▇▇▇▇▇▇ 2.9ms  sess ███████████████▅▅▅▅▅ 213
 leader  n1=======================================================??? 2s/column
 term    41

 TIMELINE  newest first, UTC
 12:01:44.200 t41  n3 lost n1: connection_lost; node 1 was not heard for 1200 ms
 11:49:08.010 t41  n1 LEADER, 3 of 3 votes in 10ms, leaderless 910ms
 11:49:08.004 t41  n1 CANDIDATE, votes for itself; yes n2 n3
 11:49:08.000 t41  n1 PRECANDIDATE (no_leader): yes n2 n3
 11:49:07.100 -    n1 started

  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze
";

const NO_QUORUM_120: &str = "
 rustchat dash  west  id 7f7f7f7f  gen 1  embedded                                                         12:01:49 UTC
 NO QUORUM  leaderless 6.0s  quorum: need 2 of 3, live 1, can lose 0
 last leader n1 t41 (conn_refused)  leader changes in 15m: 1
 1 of 3 voters answers, 2 needed. Writes stop; reads are stale. Missing: n1 (conn_refused 6.0s), n2 (timeout 41.0s). If
 they will not return: rustchat recover plan
 NODE ROLE         TERM VOTE    LAST  COMMIT APPLIED  LAG    HB FSYNCp99 SESS  SEEN  WHY
>n1   UNREACHABLE    ~41  ~n1 ~89,552 ~89,550 ~89,550    -     -   ~2.9ms ~211  6.0s  conn_refused, n3 heard it 6.1s ago
 n2   UNREACHABLE    ~41  ~n1 ~89,132 ~89,130 ~89,130    -     -   ~2.9ms ~212 41.0s  timeout, n3 heard it 41.1s ago
 n3   FOLLOWER        41   n1  89,552  89,550  89,550    -  6.0s    2.9ms  213  0.0s  no_leader

 commit/s █▆██▆█▆▁▁▁▁▁ 0      commit p99 █████      -      msgs/s ████▅████▁▁▁▁▁ 0      sessions ███████▅▅▅▅▅ 213
 fsync p99  n3 ███▇████▇████▇████▇████▇▇▇▇▇▇ 2.9ms
 leader  n1===============================================================================================??? 2s/column
 term    41

 TIMELINE  newest first, UTC
 12:01:44.200 t41  n3 lost n1: connection_lost; node 1 was not heard for 1200 ms
 11:49:08.010 t41  n1 LEADER, 3 of 3 votes in 10ms, leaderless 910ms
 11:49:08.004 t41  n1 CANDIDATE, votes for itself; yes n2 n3
 11:49:08.000 t41  n1 PRECANDIDATE (no_leader): yes n2 n3
 11:49:07.100 -    n1 started


















  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze
";

const SPLIT_80: &str = "
 rustchat dash  west  id 7f7f7f7f  gen 1  embedded                 12:01:09 UTC
 SPLIT VIEW  quorum: need 2 of 3, live 3, can lose 1
 leader n3 t41  leader changes in 15m: 1
 n1 (t41) and n3 (t41) both lead, which must never be: stop one, report it.
 NODE ROLE         TERM    LAST  LAG    HB FSYNCp99 SESS  SEEN  WHY
>n1   LEADER          41  89,146    0     -    3.0ms  211  0.0s
 n2   FOLLOWER        41  89,146    0  0.2s    3.0ms  212  0.0s
 n3   LEADER          41  89,146    0     -    3.0ms  213  0.0s

 commit/s █▆█▆██▆█▆ 9      commit p99 ███████ 5.2ms  msgs/s ██████▅████ 129
 fsync p99  n1 ████▇ 2.9ms  n2 ████▇ 2.9ms  n3 ████▇ 2.9ms  sess ███ 636
 leader  n1=========================================================| 2s/column
 term    41

 TIMELINE  newest first, UTC
 11:49:08.010 t41  n1 LEADER, 3 of 3 votes in 10ms, leaderless 910ms
 11:49:08.004 t41  n1 CANDIDATE, votes for itself; yes n2 n3
 11:49:08.000 t41  n1 PRECANDIDATE (no_leader): yes n2 n3
 11:49:07.100 -    n1 started




  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze
";

const SPLIT_120: &str = "
 rustchat dash  west  id 7f7f7f7f  gen 1  embedded                                                         12:01:09 UTC
 SPLIT VIEW  quorum: need 2 of 3, live 3, can lose 1
 leader n3 t41  leader changes in 15m: 1
 n1 (t41) and n3 (t41) both lead, which must never be: stop one, report it.
 NODE ROLE         TERM VOTE    LAST  COMMIT APPLIED  LAG    HB FSYNCp99 SESS  SEEN  WHY
>n1   LEADER          41   n1  89,146  89,144  89,144    0     -    3.0ms  211  0.0s
 n2   FOLLOWER        41   n1  89,146  89,144  89,144    0  0.2s    3.0ms  212  0.0s
 n3   LEADER          41   n3  89,146  89,144  89,144    0     -    3.0ms  213  0.0s

 commit/s █▆██▆█▆██▆█▆ 9      commit p99 ██████████ 5.2ms  msgs/s ██▅██████▅████ 129    sessions ████████████ 636
 fsync p99  n1 ███▇████▇████▇████▇████▇ 2.9ms  n2 ███▇████▇████▇████▇████▇ 2.9ms  n3 ███▇████▇████▇████▇████▇ 2.9ms
 leader  n1=================================================================================================| 2s/column
 term    41

 TIMELINE  newest first, UTC
 11:49:08.010 t41  n1 LEADER, 3 of 3 votes in 10ms, leaderless 910ms
 11:49:08.004 t41  n1 CANDIDATE, votes for itself; yes n2 n3
 11:49:08.000 t41  n1 PRECANDIDATE (no_leader): yes n2 n3
 11:49:07.100 -    n1 started




















  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze
";
