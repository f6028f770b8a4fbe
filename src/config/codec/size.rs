//! Numbers of bytes: `"512MB"`, `"64KiB"`, or a plain integer.

use super::{Codec, Context, Raw, quote};

const WHAT: &str = r#"a size; write it as "512MB", "64KiB" (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), or as a number of bytes"#;

/// Longest names first, so that `KiB` is not read as `B`.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes between two bounds, both allowed.
#[derive(Debug)]
pub(in crate::config) struct Size {
    least: u64,
    most: u64,
}

/// A number of bytes. TOML's integers end at 2^63 - 1, and so does this.
pub(in crate::config) fn size() -> Size {
    Size {
        least: 0,
        most: i64::MAX.unsigned_abs(),
    }
}

impl Size {
    /// Allows only values from `least` to `most`.
    pub(in crate::config) fn between(self, least: u64, most: u64) -> Self {
        Self { least, most }
    }
}

impl Codec for Size {
    type Value = u64;

    fn read(&self, raw: &Raw, _: Context<'_>) -> Result<u64, String> {
        let value = match raw {
            Raw::Integer(number) => number.and_then(|number| u64::try_from(number).ok()),
            _ => parse(raw.as_text(WHAT)?.trim()),
        };
        let value = value.ok_or_else(|| format!("{} is not {WHAT}", raw.quoted()))?;
        if (self.least..=self.most).contains(&value) {
            Ok(value)
        } else {
            let word = if value < self.least { "little" } else { "much" };
            Err(format!(
                "{} is too {word}; allowed is {}",
                raw.quoted(),
                self.allowed()
            ))
        }
    }

    fn write(&self, value: &u64) -> String {
        match format(*value) {
            Some(text) => quote(&text),
            None => value.to_string(),
        }
    }

    fn show(&self, raw: &Raw, value: &u64) -> String {
        raw.as_written().unwrap_or_else(|| self.write(value))
    }

    fn allowed(&self) -> String {
        let words = |value| format(value).unwrap_or_else(|| format!("{value} bytes"));
        if self.most == size().most {
            match self.least {
                0 => String::new(),
                least => format!("{} or more", words(least)),
            }
        } else {
            format!("{} to {}", words(self.least), words(self.most))
        }
    }
}

/// `512MB`, `1.5 GiB` or `1024`, in bytes.
fn parse(text: &str) -> Option<u64> {
    let number_ends = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let unit = unit.trim();
    let factor = if unit.is_empty() {
        // Without a unit a fraction would be one of a byte.
        return number.parse().ok();
    } else {
        UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
            .1
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction_value: u64 = fraction.parse().ok()?;
    let scale = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(fraction_value) * u128::from(factor) / u128::from(scale);
    whole
        .checked_mul(factor)?
        .checked_add(u64::try_from(part).ok()?)
}

/// With the unit that makes the number small and whole; nothing when only single bytes would do.
fn format(value: u64) -> Option<String> {
    if value == 0 {
        return Some("0B".into());
    }
    UNITS
        .iter()
        .filter(|(_, factor)| *factor > 1 && value.is_multiple_of(*factor))
        .min_by_key(|(_, factor)| value / factor)
        .map(|(name, factor)| format!("{}{name}", value / factor))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (toml, bytes) in [
            ("0", 0),
            ("1_024", 1024),
            ("0x400", 1024),
            (r#""1024""#, 1024),
            (r#""512MB""#, 512_000_000),
            (r#""512 mb""#, 512_000_000),
            (r#""64KiB""#, 65_536),
            (r#""1.5GiB""#, 1_610_612_736),
            (r#""10B""#, 10),
            (r#""2TB""#, 2_000_000_000_000),
        ] {
            assert_eq!(from_toml(&size(), toml), Ok(bytes), "{toml}");
        }
        assert_eq!(from_word(&size(), "65536"), Ok(65_536));
    }

    #[test]
    fn says_what_is_wrong() {
        for toml in [
            r#""""#,
            r#""MB""#,
            r#""12M""#,
            r#""1.MB""#,
            r#""1.2.3MB""#,
            r#""-1MB""#,
            "-1",
            "1.5",
            "true",
            r#""1.5""#,
            r#""99999999999TB""#,
            r#""5 parsecs""#,
            "[1]",
        ] {
            let error = from_toml(&size(), toml).expect_err(toml);
            assert!(
                error.contains("a size; write it as \"512MB\""),
                "{toml}: {error}"
            );
        }
        let codec = size().between(1 << 20, 1 << 30);
        assert_eq!(
            from_toml(&codec, r#""5KB""#),
            Err(r#""5KB" is too little; allowed is 1MiB to 1GiB"#.into())
        );
        assert_eq!(
            from_toml(&codec, "2000000000000").map_err(|e| e.contains("too much")),
            Err(true)
        );
    }

    #[test]
    fn is_written_with_the_unit_that_fits() {
        for (bytes, toml) in [
            (0, r#""0B""#),
            (1_000, r#""1KB""#),
            (65_536, r#""64KiB""#),
            (512_000_000, r#""512MB""#),
            (536_870_912, r#""512MiB""#),
            (1_234_567, "1234567"),
        ] {
            assert_eq!(size().write(&bytes), toml);
        }
    }

    proptest! {
        #[test]
        fn every_size_comes_back(bytes in 0..=i64::MAX.unsigned_abs()) {
            prop_assert_eq!(there_and_back(&size(), &bytes), bytes);
        }
    }
}
