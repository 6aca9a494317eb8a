//! SIGINT and SIGTERM as something to wait for, more than once: the first asks
//! for an orderly end, the second for one at once.

use std::io;

/// The signals that ask the program to end.
pub struct Signals {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
}

impl Signals {
    /// From now on the signals no longer end the program by themselves: SIGINT, SIGTERM, and
    /// SIGHUP from a terminal that is closed.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut own = Self::for_a_server()?;
            own.signals.push(signal(SignalKind::hangup())?);
            Ok(own)
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// The same without SIGHUP, which asks a server for something else.
    ///
    /// # Errors
    /// The system refuses.
    pub fn for_a_server() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let signals = vec![signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
            Ok(Self { signals })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        {
            let each = self.signals.iter_mut().map(|signal| Box::pin(signal.recv()));
            futures::future::select_all(each).await;
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// SIGHUP as something to wait for: the configuration is to be read again.
pub struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    /// From now on SIGHUP ends nothing.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { signal: signal(SignalKind::hangup())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one; several that came meanwhile are one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        self.signal.recv().await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }
}
