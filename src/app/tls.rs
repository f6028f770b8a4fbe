//! TLS on the address for everybody: the files that the configuration names become what handshakes are made by, at the
//! start and whenever they have changed.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::start_error::StartError;
use crate::clock::{SharedClock, Timestamp};
use crate::config::{ClientAuth, Loaded, Tls, read_certificates};
use crate::http::{ClientCertificates, CurrentTls, TlsConfig, TlsError, TlsFiles};
use crate::kit::tasks::Job;
use crate::telemetry::metrics::TlsMetrics;

/// How often the files are looked at. Their content counts: they are links that are bent, or renamed into their place, by
/// whoever renews them, and that may happen one after the other.
const LOOK: Duration = Duration::from_secs(2);

/// What the files were at one look: a digest of their content, or why they cannot be read.
type Seen = Result<[u8; 32], String>;

/// What is wrong with the files, and the key of the configuration that names the one at fault.
#[derive(Debug)]
struct TlsFault {
    key: &'static str,
    why: String,
}

/// What handshakes are made by according to the configuration; `None` if no TLS is spoken.
///
/// # Errors
/// Files that cannot be read, or do not go together.
pub fn tls(loaded: &Loaded) -> Result<Option<TlsConfig>, StartError> {
    Ok(read_and_make(loaded)?.map(|(_, config)| config))
}

fn read_and_make(loaded: &Loaded) -> Result<Option<(Seen, TlsConfig)>, StartError> {
    let tls = &loaded.config.tls;
    let refuse = |fault: TlsFault| StartError::from(loaded.refuse(fault.key, fault.why));
    let Some(files) = read(tls).map_err(refuse)? else {
        return Ok(None);
    };
    let config = make(tls, &files).map_err(refuse)?;
    Ok(Some((Ok(digest(&files)), config)))
}

/// Reads the files; `None` if none are named.
fn read(tls: &Tls) -> Result<Option<TlsFiles>, TlsFault> {
    let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) else {
        return Ok(None);
    };
    let fault = |key| move |why| TlsFault { key, why };
    let authorities = tls.client_ca_files.iter();
    let authorities = authorities.map(|path| read_certificates(path));
    Ok(Some(TlsFiles {
        certificate: read_certificates(certificate).map_err(fault("tls.cert_file"))?,
        key: read_certificates(key).map_err(fault("tls.key_file"))?,
        client_authorities: authorities
            .collect::<Result<_, _>>()
            .map_err(fault("tls.client_ca_files"))?,
    }))
}

fn make(tls: &Tls, files: &TlsFiles) -> Result<TlsConfig, TlsFault> {
    let clients = match tls.client_auth {
        ClientAuth::Off => ClientCertificates::Off,
        ClientAuth::Optional => ClientCertificates::Optional,
        ClientAuth::Required => ClientCertificates::Required,
    };
    TlsConfig::new(files, clients, tls.http2).map_err(|error| {
        let file = |at: usize| {
            let files = [tls.cert_file.as_ref(), tls.key_file.as_ref()];
            let mut files = files.into_iter().flatten().chain(&tls.client_ca_files);
            let file = files.nth(at);
            file.map_or_else(String::new, |path| path.display().to_string())
        };
        match &error {
            TlsError::Certificate(_) => TlsFault {
                key: "tls.cert_file",
                why: format!("{} {error}", file(0)),
            },
            TlsError::Key(_) => TlsFault {
                key: "tls.key_file",
                why: format!("{} {error}", file(1)),
            },
            TlsError::Mismatch => TlsFault {
                key: "tls.key_file",
                why: format!("{} {error} {}", file(1), file(0)),
            },
            TlsError::Authority(at, _) => TlsFault {
                key: "tls.client_ca_files",
                why: format!("{} {error}", file(2 + at)),
            },
            TlsError::Internal(_) => TlsFault {
                key: "tls.cert_file",
                why: error.to_string(),
            },
        }
    })
}

fn digest(files: &TlsFiles) -> [u8; 32] {
    let mut digest = Sha256::new();
    let all = [&files.certificate, &files.key];
    for content in all.into_iter().chain(&files.client_authorities) {
        digest.update((content.len() as u64).to_be_bytes());
        digest.update(content);
    }
    digest.finalize().into()
}

/// Takes up other files when they are there and fit together.
pub struct CertificateWatcher {
    settings: Tls,
    /// What the server has started with.
    seen: Seen,
    until: Option<Timestamp>,
    current: Arc<CurrentTls>,
    clock: SharedClock,
    metrics: TlsMetrics,
}

impl CertificateWatcher {
    /// Reads the files for the first time; `None` if no TLS is spoken.
    ///
    /// # Errors
    /// As [`tls`].
    pub fn begin(
        loaded: &Loaded,
        clock: &SharedClock,
        metrics: &TlsMetrics,
    ) -> Result<Option<Self>, StartError> {
        let Some((seen, config)) = read_and_make(loaded)? else {
            return Ok(None);
        };
        let until = show(&config, clock.now(), metrics);
        Ok(Some(CertificateWatcher {
            settings: loaded.config.tls.clone(),
            seen,
            until,
            current: Arc::new(CurrentTls::new(config)),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
        }))
    }

    /// By what connections are opened.
    pub fn current(&self) -> &Arc<CurrentTls> {
        &self.current
    }

    /// Another pair is not put in the place of one that is valid if it is not.
    fn is_no_worse(&self, config: &TlsConfig, until: Option<Timestamp>) -> Result<(), TlsFault> {
        let now = self.clock.now();
        let worse = |what: &str, when: Timestamp| TlsFault {
            key: "tls.cert_file",
            why: format!("the certificate {what} {}", when.rfc3339()),
        };
        match config.validity {
            _ if until.is_some_and(|until| until <= now) => Ok(()),
            Some(validity) if validity.until <= now => {
                Err(worse("was valid until", validity.until))
            }
            Some(validity) if validity.from > now => Err(worse("is valid from", validity.from)),
            _ => Ok(()),
        }
    }
}

/// Shows until when a certificate is valid, and says so if it is not; gives that time.
fn show(config: &TlsConfig, now: Timestamp, metrics: &TlsMetrics) -> Option<Timestamp> {
    let validity = config.validity?;
    let until = i64::try_from(validity.until.0 / 1000).unwrap_or(i64::MAX);
    metrics.not_after.set(until);
    if validity.until <= now {
        let until = validity.until.rfc3339();
        tracing::warn!(
            until,
            "the certificate is not valid any more (tls.cert_file)"
        );
    } else if validity.from > now {
        let from = validity.from.rfc3339();
        tracing::warn!(from, "the certificate is not valid yet (tls.cert_file)");
    }
    Some(validity.until)
}

impl Job for CertificateWatcher {
    const NAME: &'static str = "certificates";

    async fn run(&self, stop: &CancellationToken) {
        let mut looks = Looks::new(self.seen.clone());
        let mut until = self.until;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            let settings = self.settings.clone();
            let read = tokio::task::spawn_blocking(move || read(&settings));
            let Some(Ok(read)) = stop.run_until_cancelled(read).await else {
                continue;
            };
            let seen = match &read {
                Ok(Some(files)) => Ok(digest(files)),
                Ok(None) => continue,
                Err(fault) => Err(fault.why.clone()),
            };
            if !looks.have_settled(&seen) {
                continue;
            }
            let made = read.and_then(|files| match files {
                Some(files) => make(&self.settings, &files),
                None => Err(TlsFault {
                    key: "tls.cert_file",
                    why: "is not named".to_owned(),
                }),
            });
            let made = made.and_then(|config| {
                self.is_no_worse(&config, until)?;
                Ok(config)
            });
            match made {
                Ok(config) => {
                    until = show(&config, self.clock.now(), &self.metrics);
                    self.current.set(config);
                    looks.used = seen;
                    looks.told = None;
                    let until = until.map(Timestamp::rfc3339);
                    tracing::info!(until, "other certificates have been taken up");
                }
                Err(TlsFault { key, why }) => {
                    if looks.told.as_ref() != Some(&seen) {
                        self.metrics.refused.inc();
                        tracing::warn!(
                            key,
                            "certificates are not taken up, and those before them stay in use: {why}"
                        );
                    }
                    looks.told = Some(seen);
                }
            }
        }
    }
}

/// What looks at the files have seen.
struct Looks {
    used: Seen,
    last: Seen,
    /// What cannot be used, and has been said to be so.
    told: Option<Seen>,
}

impl Looks {
    fn new(used: Seen) -> Self {
        Looks {
            last: used.clone(),
            used,
            told: None,
        }
    }

    /// Whether what is seen now is not what is used, and has been seen twice, so that nobody is writing it now.
    fn have_settled(&mut self, now: &Seen) -> bool {
        let twice = self.last == *now;
        self.last = now.clone();
        if *now == self.used {
            self.told = None;
        }
        twice && *now != self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_written_is_not_taken_up() {
        let state = |n: u8| Ok([n; 32]);
        let mut looks = Looks::new(state(0));
        for (now, settled) in [
            (state(0), false),
            // One file has been renewed, the other not yet.
            (state(1), false),
            (state(2), false),
            (state(2), true),
            // It cannot be used; and again, should the clock make it good.
            (state(2), true),
            (Err("gone".to_owned()), false),
            (Err("gone".to_owned()), true),
            (state(0), false),
            (state(0), false),
        ] {
            assert_eq!(looks.have_settled(&now), settled, "{now:?}");
        }
    }
}
