//! Takes HTTP connections, as many as there is room for, each for a bounded time. It must not know
//! what is asked.

use super::caller::Caller;
use super::desk::Desk;
use super::routes;
use crate::limits;
use crate::server::accept::Door;
use axum::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Answers whoever comes through `door`, until `stop`; then returns when nothing runs any more.
pub async fn serve(door: Door, desk: Desk, stop: CancellationToken) {
    let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS)));
    let accept = async {
        loop {
            // Who finds no place waits in the kernel's queue.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, peer) = door.next().await;
            let Ok(own) = stream.local_addr() else { continue };
            let caller = Caller::new(peer, own);
            let routes = routes::routes(desk.clone(), peer.ip()).layer(Extension(caller.clone()));
            let service = TowerToHyperService::new(routes);
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(limits::ADMIN_HEADER);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let stop = stop.clone();
            tasks.spawn(async move {
                let mut connection = pin!(connection);
                let served = async {
                    match timeout(limits::ADMIN_TIME, &mut connection).await {
                        Err(_) if caller.is_long() => {
                            timeout(limits::BACKUP_TIME, &mut connection).await
                        }
                        served => served,
                    }
                };
                if let Some(Ok(Err(error))) = stop.run_until_cancelled(served).await {
                    tracing::debug!(%peer, %error, "an HTTP connection ended");
                }
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(accept).await;
    tasks.close();
    tasks.wait().await;
}
