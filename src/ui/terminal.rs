//! The terminal as a resource: raw mode, the alternate screen, bracketed paste and focus events
//! are taken when a [`Screen`] opens and given back on every way out: return, error, panic, and
//! the signals that [`Ending`] turns into a return. It must not know what is drawn.

use super::paint;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
};
use crossterm::terminal::{
    DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};
use std::io::{self, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// True while the terminal is ours: restoring twice would leave the shell's own screen.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal while a screen is shown; dropping it restores what was there before.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// The terminal refuses; it is restored then.
    pub fn open() -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
        });
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Restore;
        let mut out = io::stdout();
        execute!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
        // A terminal that takes a character for wider than we do draws over no other line.
        execute!(out, DisableLineWrap)?;
        let terminal = Terminal::new(CrosstermBackend::new(out))?;
        std::mem::forget(guard);
        Ok(Self { terminal })
    }

    /// Draws one frame.
    ///
    /// # Errors
    /// The terminal is gone, or was given back because some thread panicked.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if !TAKEN.load(Ordering::SeqCst) {
            return Err(io::Error::other("a part of the program panicked"));
        }
        let whole = |frame: &mut Frame<'_>| {
            view(frame);
            paint::steady(frame.buffer_mut());
        };
        self.terminal.draw(whole).map(drop)
    }

    /// Makes the next frame draw every cell.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Columns and rows.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, once. A terminal that is gone (SIGHUP) cannot be restored: errors
/// are of no use to anybody.
fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    drop(execute!(
        out,
        EnableLineWrap,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    ));
    drop(disable_raw_mode());
    drop(out.flush());
}

/// The signals that end a screen: SIGTERM, SIGHUP and SIGINT.
pub struct Ending {
    signals: [Signal; 3],
}

impl Ending {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        let on = |kind| signal(kind);
        Ok(Self {
            signals: [
                on(SignalKind::terminate())?,
                on(SignalKind::hangup())?,
                on(SignalKind::interrupt())?,
            ],
        })
    }

    /// Resolves when one of them came.
    pub async fn signal(&mut self) {
        let [term, hup, int] = &mut self.signals;
        tokio::select! {
            _ = term.recv() => {}
            _ = hup.recv() => {}
            _ = int.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portable_pty::{CommandBuilder, PtySize, native_pty_system};
    use std::io::Read;

    const PANICS: &str = "RUSTCHAT_TEST_PANICS_ON_A_SCREEN";

    /// Runs itself again in a terminal of its own, where it panics.
    #[test]
    fn a_panic_gives_the_terminal_back_before_it_speaks() {
        if std::env::var_os(PANICS).is_some() {
            let mut screen = Screen::open().unwrap();
            screen.draw(|_| {}).unwrap();
            panic!("the reason");
        }
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture"]);
        command.arg("ui::terminal::tests::a_panic_gives_the_terminal_back_before_it_speaks");
        command.env(PANICS, "1");
        let mut child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().unwrap();
        let mut bytes = Vec::new();
        // A terminal whose program has ended gives an error instead of an end.
        drop(output.read_to_end(&mut bytes));
        assert!(!child.wait().unwrap().success());
        let text = String::from_utf8_lossy(&bytes);
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text:?}"));
        assert!(at("\x1b[?1049h") < at("\x1b[?2004h"), "the screen was taken: {text:?}");
        for end in ["\x1b[?2004l", "\x1b[?1004l", "\x1b[?1049l", "\x1b[?25h"] {
            assert!(at(end) < at("the reason"), "{end:?}: {text:?}");
        }
    }
}
