//! Secrets that somebody else renews (Kubernetes, Vault): what stands in files is read again now and then, and when it
//! has been refused, so that no restart is needed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// What is in use is at most so old.
const EVERY: Duration = Duration::from_secs(60);
/// After a refusal files are read again, but not more often than this.
const AGAIN: Duration = Duration::from_secs(1);

/// Reads it anew; gets what is in use, to keep of it what cannot be read.
pub type Read<T> = Arc<dyn Fn(&T) -> T + Send + Sync>;

/// Something that is read from files.
pub struct Renewed<T> {
    now: RwLock<Arc<T>>,
    read: Option<Read<T>>,
    /// Whoever reads holds it, so that all who were refused together wait for one reading.
    last: Mutex<Last>,
}

/// When it was last read, and when because of a refusal.
struct Last {
    read: Instant,
    refused: Option<Instant>,
}

impl<T: Send + Sync + 'static> Renewed<T> {
    /// Something that stays as it is.
    pub fn fixed(value: T) -> Self {
        Renewed {
            now: RwLock::new(Arc::new(value)),
            read: None,
            last: Mutex::new(Last {
                read: Instant::now(),
                refused: None,
            }),
        }
    }

    /// Something that has just been read, and is to be read like this again.
    pub fn new(value: T, read: Read<T>) -> Self {
        Renewed {
            read: Some(read),
            ..Renewed::fixed(value)
        }
    }

    /// As it was last read.
    pub fn known(&self) -> Arc<T> {
        Arc::clone(&self.now.read())
    }

    /// At most a minute old. Nobody waits for somebody else's reading.
    pub async fn get(&self) -> Arc<T> {
        if let Some(read) = &self.read
            && let Ok(mut last) = self.last.try_lock()
            && last.read.elapsed() >= EVERY
        {
            self.look(read, &mut last).await;
        }
        self.known()
    }

    /// What is in use was refused: as the files have it now.
    pub async fn refused(&self) -> Arc<T> {
        if let Some(read) = &self.read {
            let mut last = self.last.lock().await;
            if last.refused.is_none_or(|at| at.elapsed() >= AGAIN) {
                last.refused = Some(Instant::now());
                self.look(read, &mut last).await;
            }
        }
        self.known()
    }

    /// As the files have it now, however lately they were read.
    pub async fn read_again(&self) {
        if let Some(read) = &self.read {
            let mut last = self.last.lock().await;
            self.look(read, &mut last).await;
        }
    }

    async fn look(&self, read: &Read<T>, last: &mut Last) {
        let (read, known) = (Arc::clone(read), self.known());
        last.read = Instant::now();
        // Files may lie on a network.
        if let Ok(found) = tokio::task::spawn_blocking(move || read(&known)).await {
            *self.now.write() = Arc::new(found);
        }
    }
}

impl<T: Default + Send + Sync + 'static> Default for Renewed<T> {
    fn default() -> Self {
        Renewed::fixed(T::default())
    }
}

impl<T> std::fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renewed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn read_again_in_time_and_when_refused_but_not_too_often() {
        let readings = Arc::new(AtomicU32::new(0));
        let read: Read<u32> = {
            let readings = Arc::clone(&readings);
            Arc::new(move |known| {
                readings.fetch_add(1, Ordering::SeqCst);
                known + 1
            })
        };
        let renewed = Renewed::new(0, read);
        let later = async |time| {
            let mut last = renewed.last.lock().await;
            last.read = last.read.checked_sub(time).unwrap();
            last.refused = last.refused.map(|at| at.checked_sub(time).unwrap());
        };
        assert_eq!(*renewed.get().await, 0);
        let all = futures_util::future::join_all((0..9).map(|_| renewed.refused())).await;
        assert!(all.iter().all(|value| **value == 1), "one reading for all");
        later(AGAIN).await;
        assert_eq!(*renewed.get().await, 1);
        assert_eq!(*renewed.refused().await, 2);
        later(EVERY).await;
        assert_eq!(*renewed.get().await, 3);
        assert_eq!(*renewed.get().await, 3);
        assert_eq!(readings.load(Ordering::SeqCst), 3);
        assert_eq!(*Renewed::fixed(7).refused().await, 7);
    }
}
