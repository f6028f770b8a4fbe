//! The time of a commit in the two forms that versions have it: 14 digits in pseudo-versions, RFC
//! 3339 in `.info` (protocol.md 1.2 and 2.4). Always UTC, whole seconds.

/// A time between the years 0 and 9999, which is what both forms can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitTime(i64);

const DAY: i64 = 24 * 60 * 60;
/// 0000-01-01 and 10000-01-01.
const FIRST: i64 = -62_167_219_200;
const END: i64 = 253_402_300_800;

impl CommitTime {
    /// From seconds since 1970; `None` for what neither form can say.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        (FIRST..END).contains(&seconds).then_some(Self(seconds))
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// Reads the 14 digits of a pseudo-version (x/mod/module `PseudoVersionTime`).
    pub fn from_digits(digits: &str) -> Option<Self> {
        if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = |at: usize, len: usize| digits.get(at..at + len)?.parse::<i64>().ok();
        let (year, month, day) = (number(0, 4)?, number(4, 2)?, number(6, 2)?);
        let (hour, minute, second) = (number(8, 2)?, number(10, 2)?, number(12, 2)?);
        let days = days_before(year, month, day);
        // Counting back notices days that the month does not have.
        if !(1..=12).contains(&month) || date(days) != (year, month, day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Self::from_unix(days * DAY + (hour * 60 + minute) * 60 + second)
    }

    /// `20060102150405`
    pub fn digits(self) -> String {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let (hour, minute, second) = self.of_day();
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
    }

    /// `2006-01-02T15:04:05Z`
    pub fn rfc3339(self) -> String {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let (hour, minute, second) = self.of_day();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    fn of_day(self) -> (i64, i64, i64) {
        let seconds = self.0.rem_euclid(DAY);
        (seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// Days between 1970-01-01 and a date of the Gregorian calendar. Years begin in March here, so that
/// leap days are last; 400 of them have 146,097 days.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

/// The date that is so many days after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + i64::from(month >= 10);
    (year, (month + 2) % 12 + 1, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
