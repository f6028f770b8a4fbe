//! Troubles with many files: a few of each kind are told one by one, the rest is counted.

use std::collections::BTreeMap;

/// Of each reason so many are told.
const FEW: u64 = 5;
/// Reasons that are told apart at the most.
const REASONS: usize = 200;

/// What was told, and what was not.
#[derive(Debug, Default)]
pub struct Grouped {
    /// How often, by what it is and why.
    seen: BTreeMap<(&'static str, String), u64>,
    /// How often for further reasons.
    others: BTreeMap<&'static str, u64>,
}

impl Grouped {
    /// One more file with this trouble: gives the line to tell, if it is to be told. `names` are what the reason may call
    /// the file, longest first: they make no other reason of it.
    pub fn line(
        &mut self,
        word: &'static str,
        file: &str,
        reason: &str,
        names: &[String],
    ) -> Option<String> {
        let mut kind = reason.to_owned();
        for name in names.iter().filter(|name| !name.is_empty()) {
            kind = kind.replace(name.as_str(), "…");
        }
        let key = (word, kind);
        if !self.seen.contains_key(&key) && self.seen.len() >= REASONS {
            *self.others.entry(word).or_default() += 1;
            return None;
        }
        let count = self.seen.entry(key).or_default();
        *count += 1;
        (*count <= FEW).then(|| format!("{word}: {file}: {reason}"))
    }

    /// What is to be told at the end of what was not told.
    pub fn rest(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ((word, reason), count) in &self.seen {
            if let Some(more) = count.checked_sub(FEW).filter(|more| *more > 0) {
                lines.push(format!("{word}: {more} more: {reason}"));
            }
        }
        for (word, count) in &self.others {
            lines.push(format!("{word}: {count} more, for other reasons"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_of_each_kind_and_how_many_more() {
        let mut grouped = Grouped::default();
        let mut told = 0;
        for n in 0..100 {
            let file = format!("example.com/m{n}/@v/v1.0.0.zip");
            let names = [
                format!("example.com/m{n}@v1.0.0"),
                format!("example.com/m{n}"),
            ];
            let reason = format!("host says: not found: example.com/m{n}@v1.0.0");
            told += usize::from(grouped.line("not known", &file, &reason, &names).is_some());
            told += usize::from(
                grouped
                    .line("bad", &file, "the file is gone", &[])
                    .is_some(),
            );
        }
        assert_eq!(told, 10);
        assert_eq!(
            grouped.rest(),
            [
                "bad: 95 more: the file is gone",
                "not known: 95 more: host says: not found: …"
            ]
        );
        for n in 0..10_000 {
            grouped.line("bad", "m", &format!("reason {n}"), &[]);
        }
        assert_eq!(grouped.seen.len(), REASONS);
        let last = grouped.rest().pop();
        assert_eq!(last.as_deref(), Some("bad: 9802 more, for other reasons"));
    }
}
