//! Times, as operators read them.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;

/// A time to the second, written as RFC 3339 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Timestamp);

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Time(time)
    }
}

impl Time {
    /// The day alone (UTC).
    pub fn date(self) -> String {
        let text = self.0.rfc3339();
        text.split('T').next().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.rfc3339())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        let millis = u64::try_from(time.as_millisecond()).unwrap_or_default();
        Ok(Time(Timestamp(millis)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_text_to_the_second() {
        let time = Time::from(Timestamp(1_764_000_000_999));
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(text, "\"2025-11-24T16:00:00Z\"");
        let again: Time = serde_json::from_str(&text).unwrap();
        assert_eq!(again.to_string(), time.to_string());
        assert!(serde_json::from_str::<Time>("\"yesterday\"").is_err());
    }
}
