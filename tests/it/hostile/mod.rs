//! Nothing that others say acts on a terminal, hides, or passes for the program: not what people
//! write to each other, and not what a server says that means ill.

mod fake;
mod names;
mod people;
mod servers;

use crate::harness::{Terminal, wait_until};
use crate::support::terminal;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A change shows within this time.
const SOON: Duration = Duration::from_secs(20);

/// A program that runs without any input, and at most as long as its test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        wait_until(SOON, "it ends", || self.0.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Counts what a terminal would have been told to do besides showing text.
#[derive(Default)]
struct Deeds(Vec<String>);

impl vt100::Callbacks for Deeds {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.0.push("the bell".to_owned());
    }

    fn visual_bell(&mut self, _: &mut vt100::Screen) {
        self.0.push("the visual bell".to_owned());
    }

    fn resize(&mut self, _: &mut vt100::Screen, size: (u16, u16)) {
        self.0.push(format!("a size: {size:?}"));
    }

    fn set_window_icon_name(&mut self, _: &mut vt100::Screen, name: &[u8]) {
        self.0.push(format!("an icon's name: {name:?}"));
    }

    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.0.push(format!("a title: {title:?}"));
    }

    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        self.0.push(format!("into the clipboard: {data:?}"));
    }

    fn paste_from_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.0.push("out of the clipboard".to_owned());
    }

    fn unhandled_osc(&mut self, _: &mut vt100::Screen, words: &[&[u8]]) {
        self.0.push(format!("a command of the system: {words:?}"));
    }
}

/// All that a terminal was told is what our own screens say, and it did nothing else.
#[track_caller]
fn only_own(screen: &Terminal) {
    let written = screen.written();
    assert_eq!(terminal::screen(&written), Ok(()));
    let mut parser = vt100::Parser::new_with_callbacks(24, 80, 0, Deeds::default());
    parser.process(&written);
    assert_eq!(parser.callbacks().0, [""; 0]);
}
