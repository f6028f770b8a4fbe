//! The time of a commit in the two forms that versions have it: 14 digits in pseudo-versions, RFC
//! 3339 in `.info` (protocol.md 1.2 and 2.4). Always UTC, whole seconds.

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};

/// A time between the years 0 and 9999, which is what both forms can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitTime(DateTime);

/// What seconds are counted from.
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

impl CommitTime {
    /// From seconds since 1970; `None` for what neither form can say.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        let time = EPOCH.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        (time.year() >= 0).then_some(Self(time))
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0.duration_since(EPOCH).as_secs()
    }

    /// Reads the 14 digits of a pseudo-version (x/mod/module `PseudoVersionTime`).
    pub fn from_digits(digits: &str) -> Option<Self> {
        if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let year = digits.get(..4)?.parse().ok()?;
        let number = |at: usize| digits.get(at..at + 2)?.parse().ok();
        let (month, day, hour) = (number(4)?, number(6)?, number(8)?);
        let time = DateTime::new(year, month, day, hour, number(10)?, number(12)?, 0);
        time.ok().map(Self)
    }

    /// `20060102150405`
    pub fn digits(self) -> String {
        let (time, day) = (self.0, self.0.date());
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            day.year(),
            day.month(),
            day.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }

    /// `2006-01-02T15:04:05Z`
    pub fn rfc3339(self) -> String {
        format!("{}Z", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 0000-01-01 and 10000-01-01.
    const FIRST: i64 = -62_167_219_200;
    const END: i64 = 253_402_300_800;

    #[test]
    fn both_forms() {
        let cases = [
            (0, "19700101000000", "1970-01-01T00:00:00Z"),
            (951_827_696, "20000229123456", "2000-02-29T12:34:56Z"),
            (1_709_269_199, "20240301045959", "2024-03-01T04:59:59Z"),
            (-1, "19691231235959", "1969-12-31T23:59:59Z"),
            (FIRST, "00000101000000", "0000-01-01T00:00:00Z"),
            (END - 1, "99991231235959", "9999-12-31T23:59:59Z"),
        ];
        for (unix, digits, rfc3339) in cases {
            let time = CommitTime::from_unix(unix).unwrap();
            assert_eq!(
                (time.digits(), time.rfc3339()),
                (digits.into(), rfc3339.into())
            );
            assert_eq!(CommitTime::from_digits(digits), Some(time));
        }
        assert_eq!(CommitTime::from_unix(FIRST - 1), None);
        assert_eq!(CommitTime::from_unix(END), None);
        for bad in [
            "",
            "2024030104595",
            "202403010459590",
            "20240230000000",
            "20230229000000",
            "19000229000000",
            "20240001000000",
            "20241301000000",
            "20240100000000",
            "20240431000000",
            "20240101240000",
            "20240101006000",
            "20240101000060",
            "2024010100000x",
            "+2024010100000",
        ] {
            assert_eq!(CommitTime::from_digits(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn digits_come_back(unix in FIRST..END) {
            let time = CommitTime::from_unix(unix).unwrap();
            prop_assert_eq!(CommitTime::from_digits(&time.digits()), Some(time));
        }
    }
}
