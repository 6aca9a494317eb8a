//! Codes of invitations. A code is shown once, to whoever makes it; servers know its hash alone. It
//! must not know who makes or uses one.

/// The hash by which a code is known, however it was typed: case, spaces and hyphens do not count.
#[must_use]
pub fn hash(code: &str) -> [u8; 32] {
    let typed = code.chars().filter(|c| c.is_alphanumeric());
    let plain: String = typed.map(|c| c.to_ascii_lowercase()).collect();
    *blake3::hash(plain.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn how_a_code_is_typed_does_not_matter() {
        assert_eq!(hash("abcde-fgh23"), hash(" ABCDE FGH23\n"));
        assert_ne!(hash("abcde-fgh23"), hash("abcde-fgh24"));
    }
}
