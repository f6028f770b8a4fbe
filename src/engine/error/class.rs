//! What kind of thing an error is: that decides its status.

use std::time::Duration;

/// Classes of design section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It does not exist, says every source that may have it. `gone` if they said 410.
    Absent {
        /// 410 rather than 404.
        gone: bool,
    },
    /// It exists perhaps, but is not given out: 403.
    Refused,
    /// It is given out to those who show a token: 401.
    Unauthorized,
    /// What came failed verification: 502.
    VerificationFailed,
    /// No checksum database knows it: 502.
    UnknownToDatabase,
    /// An upstream is at fault: 502.
    Upstream,
    /// We are doing as much as we may: 503.
    Overloaded,
    /// No source can be asked at the moment: 503.
    Unavailable,
    /// No source answered in time: 504.
    Timeout,
    /// An upstream leads back to this server: 508, which no other server asks again for.
    Loop,
    /// Our own fault: 500.
    Internal,
}

/// How old something is that is said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Since it was said.
    pub age: Duration,
    /// Since it should have been asked again.
    pub over: Duration,
}
