//! The program in a terminal of its own, whose screen is read as a person reads it.

use crate::support::wait::wait_until;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A program in a terminal of 24 rows and 80 columns.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    input: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    written: Arc<Mutex<Vec<u8>>>,
    master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Runs `rustchat` with these words; `home` is all that it may write to.
    pub fn run<W: AsRef<OsStr>>(home: &Path, words: impl IntoIterator<Item = W>) -> Self {
        Self::run_in(home, words, &[])
    }

    /// The same with these variables in its environment.
    pub fn run_in<W: AsRef<OsStr>>(
        home: &Path,
        words: impl IntoIterator<Item = W>,
        environment: &[(&str, &str)],
    ) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_rustchat"));
        command.args(words);
        command.cwd(home);
        for (name, dir) in [("HOME", ""), ("XDG_STATE_HOME", "state"), ("TMPDIR", "")] {
            command.env(name, home.join(dir));
        }
        command.env_remove("NO_COLOR");
        command.env("TERM", "xterm-256color");
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (sink, mut output) = (Arc::clone(&screen), pair.master.try_clone_reader().unwrap());
        let written = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            let mut rest = Vec::new();
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let new = &bytes[..count];
                copy.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(new);
                sink.lock().unwrap_or_else(PoisonError::into_inner).process(&whole(&mut rest, new));
            }
        });
        let input = pair.master.take_writer().unwrap();
        Self { child, input, screen, written, master: pair.master }
    }

    /// What the screen shows now.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    /// All that the program has written, byte by byte.
    pub fn written(&self) -> Vec<u8> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if any cell has a colour of its own.
    pub fn is_coloured(&self) -> bool {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, cols) = screen.screen().size();
        let mut cells = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
        cells.any(|(row, col)| {
            let cell = screen.screen().cell(row, col);
            cell.is_some_and(|cell| {
                let colours = [cell.fgcolor(), cell.bgcolor()];
                colours.iter().any(|colour| *colour != vt100::Color::Default)
            })
        })
    }

    /// True while the program has taken the whole screen.
    pub fn is_full_screen(&self) -> bool {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().alternate_screen()
    }

    /// Waits until the screen shows `part`.
    #[track_caller]
    pub fn wait_for(&self, deadline: Duration, part: &str) {
        let start = std::time::Instant::now();
        while start.elapsed() < deadline && !self.text().contains(part) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let text = self.text();
        assert!(text.contains(part), "no {part:?} within {deadline:?} on the screen:\n{text}");
    }

    /// The columns and rows that the program and the screen have from now on.
    pub fn resize(&self, cols: u16, rows: u16) {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen_mut().set_size(rows, cols);
        self.master.resize(size).unwrap();
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Waits until it ends, and returns its exit code.
    #[track_caller]
    pub fn ended(&mut self, deadline: Duration) -> u32 {
        wait_until(deadline, "the program in the terminal ends", || self.child.try_wait().unwrap())
            .exit_code()
    }
}

/// What can be shown of `rest` and `new`; the beginning of a character waits in `rest`. The sign
/// for what cannot be shown is another one: the library that reads the screen leaves it out, and
/// shows the row one cell shorter than every terminal does.
fn whole(rest: &mut Vec<u8>, new: &[u8]) -> Vec<u8> {
    const SIGN: &[u8] = "\u{fffd}".as_bytes();
    rest.extend_from_slice(new);
    let begun = (1..SIGN.len()).find(|length| rest.ends_with(&SIGN[..*length])).unwrap_or(0);
    let mut all = rest.drain(..rest.len() - begun).collect::<Vec<_>>();
    while let Some(at) = all.windows(SIGN.len()).position(|some| some == SIGN) {
        all[at..at + SIGN.len()].copy_from_slice("□".as_bytes());
    }
    all
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
