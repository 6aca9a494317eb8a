//! `rustchat completions` and `rustchat man`: made from the same description of the
//! command line that reads it, so that they cannot lag behind. It must not know
//! any command.

use super::args::Cli;
use super::outcome::{End, Outcome};
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "rustchat";

/// `rustchat completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `rustchat man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Where a page for every command is written; without it the main page is printed
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Prints the script.
pub fn completions(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(End::Done)
}

/// Prints the main page, or writes all pages.
pub fn pages(args: &ManArgs) -> Outcome {
    let mut command = Cli::command();
    command.build();
    match &args.dir {
        None => clap_mangen::Man::new(command).render(&mut io::stdout().lock())?,
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            write_pages(&command, NAME, dir)?;
        }
    }
    Ok(End::Done)
}

/// The page of a command and those of the commands below it: `rustchat-store-check.1`.
fn write_pages(command: &Command, name: &str, dir: &Path) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    std::fs::write(dir.join(format!("{name}.1")), page)?;
    let below = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    for sub in below.filter(|sub| sub.get_name() != "help") {
        write_pages(sub, &format!("{name}-{}", sub.get_name()), dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    /// The commands that can be typed, as `store-check`.
    fn commands(command: &Command, above: &str) -> Vec<String> {
        let mut found = Vec::new();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let name = format!("{above}{}", sub.get_name());
            found.extend(commands(sub, &format!("{name}-")));
            found.push(name);
        }
        found
    }

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        pages(&ManArgs { dir: Some(dir.path().to_owned()) }).unwrap();
        let mut names = commands(&Cli::command(), "");
        assert!(names.iter().any(|name| name == "config-check"), "{names:?}");
        names.sort();
        for name in &names {
            let page = std::fs::read_to_string(dir.path().join(format!("rustchat-{name}.1")));
            let page = page.unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
        }
        let written = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(written, names.len() + 1, "one more for rustchat itself");
        let serve = std::fs::read_to_string(dir.path().join("rustchat-serve.1")).unwrap();
        assert!(serve.contains("rustchat\\-serve") && serve.contains("log\\-level"), "{serve}");
    }

    #[test]
    fn completions_name_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), NAME, &mut script);
            let script = String::from_utf8(script).unwrap();
            for sub in Cli::command().get_subcommands() {
                assert!(script.contains(sub.get_name()), "{shell}: {}", sub.get_name());
            }
        }
    }
}
