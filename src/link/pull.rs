//! Pulls the exports of one other cluster, while this node leads. One ask is under way at a time,
//! and the next one waits until the last answer is applied: memory and log hold one page.

use super::board::{Board, Line as State};
use super::dial::{self, Line, LineError};
use super::home::Home;
use super::puller::{self, Next};
use crate::chat::ids::ClusterId;
use crate::chat::link::Link;
use crate::limits;
use crate::wire::link::LinkAnswer;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Pulls for as long as the cluster is trusted. To be dropped when this node does not lead any
/// more.
pub async fn run(home: &dyn Home, board: &Board, cluster: ClusterId) {
    let mut pause = limits::LINK_RETRY;
    while let Some(link) = trusted(home, cluster) {
        let known = board.of(link.number).line;
        if matches!(known, State::Idle | State::Up) {
            board.note(link.number, |now| now.line = State::Connecting);
        }
        let ended = session(home, board, &link, &mut pause).await;
        board.note(link.number, |now| {
            if let Err(LineError::Broken(_)) = &ended {
                now.broken += 1;
            }
            now.line = ended.as_ref().err().map_or(State::Idle, |why| State::Down(why.to_string()));
        });
        if let Err(why) = ended {
            tracing::debug!(cluster = %link.alias, %why, "the line to a cluster ended");
            // A moment more or less, so that clusters do not meet in step.
            let share = rand::random_range(0.5..1.5);
            sleep(pause.mul_f64(share)).await;
            pause = (pause * 2).min(limits::LINK_RETRY_MAX);
        }
    }
}

fn trusted(home: &dyn Home, cluster: ClusterId) -> Option<Link> {
    home.link(cluster).filter(Link::is_trusted)
}

/// One line, until it ends; `Ok` where the cluster is not trusted any more.
async fn session(
    home: &dyn Home,
    board: &Board,
    link: &Link,
    pause: &mut Duration,
) -> Result<(), LineError> {
    let mut line = dial::to(home, link).await?;
    board.note(link.number, |now| {
        now.line = State::Up;
        now.round_trip = Some(line.round_trip);
    });
    while let Some(link) = trusted(home, link.cluster) {
        let answer = pull(&mut line, &link).await?;
        if let LinkAnswer::Exports(exports) = &answer {
            *pause = limits::LINK_RETRY;
            board.note(link.number, |now| now.theirs = Some(exports.last));
        }
        match puller::on_answer(&link, answer) {
            Next::Ask => {}
            Next::Propose(command) => {
                if home.propose(&command) {
                    settled(home, &link).await;
                } else {
                    sleep(limits::LINK_RETRY).await;
                }
            }
            Next::Wait(wait, why) => {
                board.note(link.number, |now| now.line = State::Down(why));
                sleep(wait).await;
                board.note(link.number, |now| now.line = State::Up);
            }
            Next::Broken(why) => return Err(LineError::Broken(why)),
        }
    }
    Ok(())
}

async fn pull(line: &mut Line, link: &Link) -> Result<LinkAnswer, LineError> {
    line.ask(&puller::ask(link), limits::LINK_WAIT + limits::LINK_ANSWER).await
}

/// Waits until what was proposed shows. Where it is lost, it is pulled once more.
async fn settled(home: &dyn Home, asked: &Link) {
    let mut changed = home.changed();
    let shows = async {
        while !puller::is_settled(asked, home.link(asked.cluster).as_ref()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    };
    drop(timeout(limits::LINK_COMMIT, shows).await);
}
