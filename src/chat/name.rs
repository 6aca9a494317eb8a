//! User names. Version 1 allows ASCII `[a-z][a-z0-9._-]{0,31}`; `#`, `@` and `:`
//! are reserved. Folding to lower case happens at the door, never in apply.

use std::fmt;

/// A valid, folded user name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// Why a text is no user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing was given.
    Empty,
    /// More than 32 characters.
    TooLong,
    /// The first character is not a letter.
    Start,
    /// A character that is not allowed.
    Character(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the name is empty"),
            Self::TooLong => write!(f, "the name has more than 32 characters"),
            Self::Start => write!(f, "the name must start with a letter a–z"),
            Self::Character(c) => {
                write!(f, "the name contains {c:?}; allowed are a–z, 0–9, '.', '_' and '-'")
            }
        }
    }
}

impl std::error::Error for NameError {}

impl UserName {
    /// Longest name, in bytes.
    pub const MAX: usize = 32;

    /// Folds ASCII letters to lower case and checks the rest: for text that a person typed.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn fold(text: &str) -> Result<Self, NameError> {
        Self::exact(&text.trim().to_ascii_lowercase())
    }

    /// Checks a name byte for byte, without folding: for names in commands and rows.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn exact(text: &str) -> Result<Self, NameError> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if !first.is_ascii_lowercase() {
            return Err(NameError::Start);
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if let Some(c) = text.chars().find(|&c| !allowed(c)) {
            return Err(NameError::Character(c));
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user as people write them: `name`, or `name@cluster` for one whom another cluster registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName {
    /// The name there.
    pub name: UserName,
    /// The cluster, as it is called here; `None`: this one.
    pub cluster: Option<UserName>,
}

impl FullName {
    /// Folds both parts and checks them: for text that a person typed.
    ///
    /// # Errors
    /// Says what is wrong with the part that is no name.
    pub fn fold(text: &str) -> Result<Self, NameError> {
        let (name, cluster) = match text.split_once('@') {
            Some((name, cluster)) => (name, Some(UserName::fold(cluster)?)),
            None => (text, None),
        };
        Ok(Self { name: UserName::fold(name)?, cluster })
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cluster {
            None => write!(f, "{}", self.name),
            Some(cluster) => write!(f, "{}@{cluster}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_belongs_to_the_door() {
        assert_eq!(UserName::fold(" Alice ").unwrap().as_str(), "alice");
        assert_eq!(UserName::exact("Alice"), Err(NameError::Start));
        assert_eq!(UserName::exact("bob@east"), Err(NameError::Character('@')));
        assert_eq!(UserName::exact("bøb"), Err(NameError::Character('ø')));
        assert_eq!(UserName::exact(&"a".repeat(33)), Err(NameError::TooLong));
        assert_eq!(UserName::exact(""), Err(NameError::Empty));
        assert!(UserName::exact(&"a".repeat(32)).is_ok());
    }

    #[test]
    fn a_name_may_say_where() {
        let full = FullName::fold("Bob@East ").unwrap();
        assert_eq!(full.to_string(), "bob@east");
        assert_eq!(FullName::fold("bob").unwrap().cluster, None);
        for bad in ["@east", "bob@", "bob@east@west", "bob@-"] {
            assert!(FullName::fold(bad).is_err(), "{bad}");
        }
    }
}
