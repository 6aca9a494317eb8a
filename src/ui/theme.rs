//! Colours by meaning. The files in `assets/themes/` say which colour each meaning has; nothing
//! else in the program names a colour. It must not know screens.

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a piece of the screen means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ordinary text.
    Text,
    /// What matters less: times, hints.
    Dim,
    /// Rules between the parts of the screen.
    Rule,
    /// Titles and headings.
    Title,
    /// The conversation that is open, in the list.
    Selected,
    /// Unread counts and the unread line.
    Unread,
    /// The user's own name.
    Own,
    /// Own message: waits in the outbox.
    Queued,
    /// Own message: a majority has it on disk.
    Committed,
    /// Own message: on a device of the receiver.
    Delivered,
    /// Own message: the receiver has seen it.
    Read,
    /// What went wrong.
    Error,
    /// What needs attention: no leader, reconnecting.
    Warning,
    /// What is well.
    Good,
    /// What the program says in a conversation: never a person.
    System,
    /// A value that is not fresh.
    Stale,
}

impl Role {
    const ALL: [(Self, &'static str); 16] = [
        (Self::Text, "text"),
        (Self::Dim, "dim"),
        (Self::Rule, "rule"),
        (Self::Title, "title"),
        (Self::Selected, "selected"),
        (Self::Unread, "unread"),
        (Self::Own, "own"),
        (Self::Queued, "queued"),
        (Self::Committed, "committed"),
        (Self::Delivered, "delivered"),
        (Self::Read, "read"),
        (Self::Error, "error"),
        (Self::Warning, "warning"),
        (Self::Good, "good"),
        (Self::System, "system"),
        (Self::Stale, "stale"),
    ];
}

/// A theme: a style for every role.
#[derive(Clone, Debug)]
pub struct Theme {
    styles: [Style; Role::ALL.len()],
    nicks: Vec<Style>,
    /// Message states are letters: colour alone must not tell them apart.
    pub letters: bool,
    /// Lines and marks are drawn with ASCII characters alone.
    pub ascii: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    letters: bool,
    ascii: bool,
    nicks: Vec<String>,
    styles: BTreeMap<String, String>,
}

/// The themes that are built in, by name.
const FILES: [(&str, &str); 4] = [
    ("dark", include_str!("../../assets/themes/dark.toml")),
    ("light", include_str!("../../assets/themes/light.toml")),
    ("mono", include_str!("../../assets/themes/mono.toml")),
    ("plain", include_str!("../../assets/themes/plain.toml")),
];

impl Theme {
    /// The theme with this name, or the one that suits the environment: plain on a dumb terminal,
    /// mono where `NO_COLOR` is set, light where `COLORFGBG` tells of a light background, else dark.
    ///
    /// # Errors
    /// There is no such theme, or its file is wrong.
    pub fn choose(
        name: Option<&str>,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let set = |key: &str| env(key).is_some_and(|value| !value.is_empty());
        let light = || env("COLORFGBG").is_some_and(|v| v.ends_with(";15") || v.ends_with(";7"));
        let name = match name {
            Some(name) => name,
            None if env("TERM").as_deref() == Some("dumb") => "plain",
            None if set("NO_COLOR") => "mono",
            None if light() => "light",
            None => "dark",
        };
        let Some((_, text)) = FILES.iter().find(|(known, _)| *known == name) else {
            let known = FILES.map(|(known, _)| known).join(", ");
            anyhow::bail!("there is no theme {name:?}; there are {known}");
        };
        Self::parse(text)
    }

    /// Reads a theme file.
    ///
    /// # Errors
    /// Says which key is missing, unknown or wrong.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut file: File = toml::from_str(text)?;
        let mut styles = [Style::default(); Role::ALL.len()];
        for (slot, (_, key)) in styles.iter_mut().zip(Role::ALL) {
            let value = file.styles.remove(key);
            *slot = style(&value.ok_or_else(|| anyhow::anyhow!("styles.{key} is missing"))?)?;
        }
        if let Some(key) = file.styles.keys().next() {
            anyhow::bail!("styles.{key} is not known");
        }
        anyhow::ensure!(!file.nicks.is_empty(), "nicks must name at least one style");
        let nicks = file.nicks.iter().map(|text| style(text)).collect::<Result<_, _>>()?;
        Ok(Self { styles, nicks, letters: file.letters, ascii: file.ascii })
    }

    /// The style of a role.
    #[must_use]
    pub const fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }

    /// The style of somebody's name: the same for the same user, wherever and whenever.
    #[must_use]
    pub fn nick(&self, user: u64) -> Style {
        // Neighbouring numbers get different colours; the factor is 2^64 / golden ratio.
        let spread = user.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let count = u64::try_from(self.nicks.len()).unwrap_or(1).max(1);
        let at = usize::try_from(spread % count).unwrap_or(0);
        self.nicks.get(at).copied().unwrap_or_default()
    }
}

/// Reads `"[COLOUR] [on COLOUR] [bold|dim|italic|underlined|reversed]…"`.
fn style(text: &str) -> anyhow::Result<Style> {
    let mut style = Style::default();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let modifier = match word {
            "bold" => Some(Modifier::BOLD),
            "dim" => Some(Modifier::DIM),
            "italic" => Some(Modifier::ITALIC),
            "underlined" => Some(Modifier::UNDERLINED),
            "reversed" => Some(Modifier::REVERSED),
            _ => None,
        };
        style = match (modifier, word) {
            (Some(modifier), _) => style.add_modifier(modifier),
            (None, "on") => style.bg(colour(words.next().unwrap_or_default())?),
            (None, word) => style.fg(colour(word)?),
        };
    }
    Ok(style)
}

fn colour(word: &str) -> anyhow::Result<Color> {
    word.parse().map_err(|_| anyhow::anyhow!("{word:?} is neither a colour nor a modifier"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |key| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn every_theme_is_complete_and_roles_find_their_own_style() {
        for (name, _) in FILES {
            Theme::choose(Some(name), env(&[])).unwrap();
        }
        for (at, (role, _)) in Role::ALL.iter().enumerate() {
            assert_eq!(*role as usize, at, "{role:?}");
        }
    }

    #[test]
    fn the_environment_chooses() {
        let fg = |pairs: &[(&str, &str)]| {
            let theme = Theme::choose(None, env(pairs)).unwrap();
            (theme.letters, theme.style(Role::Error).fg)
        };
        assert!(fg(&[]).1.is_some() && !fg(&[]).0);
        assert_eq!(fg(&[("NO_COLOR", "1")]), (true, None));
        assert_eq!(fg(&[("TERM", "dumb")]), (true, None));
        assert!(fg(&[("NO_COLOR", "")]).1.is_some(), "an empty NO_COLOR says nothing");
        let light = Theme::choose(None, env(&[("COLORFGBG", "0;15")])).unwrap();
        let dark = Theme::choose(None, env(&[])).unwrap();
        assert_ne!(light.style(Role::Read), dark.style(Role::Read));
    }

    #[test]
    fn mono_and_plain_have_no_colour_at_all() {
        for name in ["mono", "plain"] {
            let theme = Theme::choose(Some(name), env(&[])).unwrap();
            assert!(theme.letters, "{name}");
            for style in theme.styles.iter().chain(&theme.nicks) {
                assert_eq!((style.fg, style.bg), (None, None), "{name}");
            }
        }
    }

    #[test]
    fn mistakes_in_a_theme_are_named() {
        let text = FILES[0].1;
        for (from, to, says) in [
            ("error =", "eror =", "styles.error is missing"),
            ("[styles]", "[styles]\nnew = \"red\"", "styles.new is not known"),
            ("[styles]", "[styles]\nx = 1", "invalid type"),
            ("\"red bold\"", "\"rad bold\"", "\"rad\" is neither"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Theme::parse(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let error = Theme::choose(Some("pink"), env(&[])).unwrap_err().to_string();
        assert_eq!(error, "there is no theme \"pink\"; there are dark, light, mono, plain");
    }
}
