//! Commands that begin with a slash. One table, from which they are found, completed and
//! explained. A mistake keeps the text.

use super::events::notice;
use super::keys::{self, open};
use super::model::{Chat, Model};
use super::update::{Effect, send};
use crate::chat::name::FullName;
use crate::client::{Connection, Via};

/// A command, as the help shows it.
pub struct Command {
    /// Without the slash.
    pub name: &'static str,
    /// What follows it.
    pub takes: &'static str,
    /// For a person.
    pub help: &'static str,
    run: fn(&mut Model, &str, &mut Vec<Effect>) -> Result<(), String>,
}

/// Every command, in the order of the help.
pub const COMMANDS: &[Command] = &[
    Command { name: "msg", takes: "NAME [TEXT]", help: "write to somebody", run: msg },
    Command { name: "switch", takes: "NAME|NUMBER", help: "open a conversation", run: switch },
    Command { name: "unread", takes: "", help: "next unread conversation", run: unread },
    Command { name: "retry", takes: "", help: "send again what failed here", run: retry },
    Command { name: "discard", takes: "", help: "drop what failed here", run: discard },
    Command { name: "status", takes: "", help: "how the connection stands", run: status },
    Command { name: "nodes", takes: "", help: "the same", run: status },
    Command { name: "reconnect", takes: "", help: "look for another server", run: reconnect },
    Command { name: "help", takes: "", help: "keys and commands", run: help },
    Command { name: "quit", takes: "", help: "end; what waits is sent next time", run: quit },
];

/// Does what the text says; on a mistake the text stays and the mistake is shown.
pub(super) fn run(model: &mut Model, text: &str, effects: &mut Vec<Effect>) {
    let (word, rest) = match text[1..].split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (&text[1..], ""),
    };
    let name = word.to_ascii_lowercase();
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        model.complain(format!("/{word} is no command: /help lists them; // sends a slash"));
        return;
    };
    // Taken first: the command may open another conversation, with an input line of its own.
    let before = model.open;
    let written = model.editor_mut().0.take();
    model.flash = None;
    if let Err(why) = (command.run)(model, rest, effects) {
        model.open = before;
        model.editor_mut().0.set(&written);
        model.complain(why);
    }
}

fn msg(model: &mut Model, rest: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
    let (name, text) = match rest.split_once(char::is_whitespace) {
        Some((name, text)) => (name, text.trim()),
        None => (rest, ""),
    };
    if name.is_empty() {
        return Err("/msg NAME [TEXT]: the name is missing".to_owned());
    }
    let name = FullName::fold(name).map_err(|error| error.to_string())?;
    keys::fits(text)?;
    let known = |c: &&Chat| c.peer.is_some_and(|peer| c.name_of(peer) == name.to_string());
    if let Some(key) = model.chats.iter().find(known).map(|chat| chat.key) {
        open(model, key);
        send(model, key, text.to_owned(), effects);
        return Ok(());
    }
    if !model.ready() {
        model.say(format!("{name} is looked for as soon as there is a connection"));
    }
    effects.push(Effect::Lookup { name: name.to_string(), text: text.to_owned() });
    Ok(())
}

fn switch(model: &mut Model, rest: &str, _: &mut Vec<Effect>) -> Result<(), String> {
    let wanted = rest.trim_start_matches(['#', '@']).to_lowercase();
    let plain = |chat: &Chat| chat.title.trim_start_matches('#').to_lowercase();
    let number = rest.parse().ok().and_then(|n: usize| n.checked_sub(1));
    let found = number
        .and_then(|at| model.chats.get(at))
        .or_else(|| model.chats.iter().find(|c| plain(c) == wanted))
        .or_else(|| model.chats.iter().find(|c| plain(c).starts_with(&wanted)))
        .or_else(|| model.chats.iter().find(|c| plain(c).contains(&wanted)));
    match found.map(|chat| chat.key).filter(|_| !wanted.is_empty()) {
        Some(key) => {
            open(model, key);
            Ok(())
        }
        None => Err(format!("no conversation is called {rest:?}; /msg NAME begins one")),
    }
}

fn unread(model: &mut Model, _: &str, _: &mut Vec<Effect>) -> Result<(), String> {
    keys::next_unread(model);
    Ok(())
}

fn retry(model: &mut Model, _: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
    let (key, texts) = failed(model)?;
    for text in texts {
        send(model, key, text, effects);
    }
    Ok(())
}

fn discard(model: &mut Model, _: &str, _: &mut Vec<Effect>) -> Result<(), String> {
    let count = failed(model)?.1.len();
    model.say(format!("{count} dropped"));
    Ok(())
}

/// Takes out what failed in the open conversation.
fn failed(model: &mut Model) -> Result<(super::model::ChatKey, Vec<String>), String> {
    let chat = model.current_mut().filter(|chat| chat.waiting().1 > 0);
    let chat = chat.ok_or("nothing failed here")?;
    let texts =
        chat.pending.values().filter(|p| p.refused.is_some()).map(|p| p.text.to_string()).collect();
    chat.pending.retain(|_, p| p.refused.is_none());
    Ok((chat.key, texts))
}

fn status(model: &mut Model, _: &str, _: &mut Vec<Effect>) -> Result<(), String> {
    let text = statement(model);
    let now_ms = model.now_ms;
    match model.current_mut() {
        Some(chat) => notice(chat, now_ms, &text, false),
        None => model.say(text),
    }
    Ok(())
}

/// How the connection stands, in a sentence.
fn statement(model: &Model) -> String {
    let server = match &model.connection {
        Connection::Ready { server, seat, cluster, via: Some(via), .. } => {
            let Via { cluster: by, seat: at } = via;
            format!("connected to n{seat} of {cluster} via {by} n{at} at {server}")
        }
        Connection::Ready { server, seat, .. } => format!("connected to n{seat} at {server}"),
        _ => super::status::connection(model).0,
    };
    let state = model.cluster.unwrap_or_default();
    let leader = match state.leader {
        Some(seat) => format!("n{seat} leads in term {}", state.term),
        None => "no leader is known".to_owned(),
    };
    let (waiting, failed) = model.waiting();
    let mut parts = vec![server];
    if model.cluster.is_some() {
        parts.push(leader);
        parts.push(format!("{} of {} servers are up", state.live, state.voters));
    }
    if !model.cluster_name.is_empty() {
        parts.push(format!("cluster {}", model.cluster_name));
    }
    parts.push(format!("{waiting} queued, {failed} failed, {} unread", model.unread()));
    parts.join(" · ")
}

fn reconnect(_: &mut Model, _: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
    effects.push(Effect::Reconnect);
    Ok(())
}

fn help(model: &mut Model, _: &str, _: &mut Vec<Effect>) -> Result<(), String> {
    model.help = Some(0);
    Ok(())
}

fn quit(_: &mut Model, _: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
    effects.push(Effect::Quit);
    Ok(())
}

/// Completes the word before the cursor: a command, or the name of a conversation.
pub(super) fn complete(model: &mut Model) {
    let editor = model.editor();
    let text = editor.text();
    if editor.cursor() != text.len() {
        return;
    }
    let blank = text.char_indices().rfind(|(_, c)| c.is_whitespace());
    let start = blank.map_or(0, |(at, c)| at + c.len_utf8());
    let word = text.get(start..).unwrap_or_default();
    let known: Vec<String> = if start == 0 && word.starts_with('/') {
        COMMANDS.iter().map(|c| format!("/{}", c.name)).collect()
    } else {
        let members = model.chats.iter().flat_map(|c| c.members.iter().map(|m| m.name.clone()));
        members.chain(model.chats.iter().map(|c| c.title.clone())).collect()
    };
    let fits: Vec<&String> = known.iter().filter(|k| k.starts_with(word)).collect();
    let Some(first) = fits.first().filter(|_| !word.is_empty()) else { return };
    let same = |n: usize| fits.iter().all(|k| k.get(..n) == first.get(..n));
    let common = (word.len()..=first.len()).rev().find(|&n| first.is_char_boundary(n) && same(n));
    let whole = fits.iter().all(|k| k == first);
    let mut done = text[..start].to_owned();
    done.push_str(&first[..common.unwrap_or(word.len())]);
    if whole {
        done.push(' ');
    } else if done.len() == text.len() {
        let mut names: Vec<&str> = fits.iter().map(|k| k.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.join(" ");
        model.say(names);
        return;
    }
    model.editor_mut().0.set(&done);
}
