//! Places at an upstream. One module takes at most half of them, so that fetches of it that hang leave room for others;
//! zips take at most three quarters, so that small files do not wait for many large ones.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gomod::ModulePath;

/// Places of one upstream, and within it of each module that is being fetched.
pub struct Limits {
    all: Arc<Semaphore>,
    large: Arc<Semaphore>,
    places: usize,
    per_module: usize,
    /// Only modules with a fetch under way or waiting; bounded by the number of flights.
    modules: Arc<Mutex<HashMap<ModulePath, Arc<Semaphore>>>>,
}

/// A place, given back when dropped.
pub struct Place {
    _all: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
    _module: Option<ModulePlace>,
}

struct ModulePlace {
    permit: Option<OwnedSemaphorePermit>,
    module: ModulePath,
    semaphore: Option<Arc<Semaphore>>,
    modules: Arc<Mutex<HashMap<ModulePath, Arc<Semaphore>>>>,
}

impl Drop for ModulePlace {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut modules = self.modules.lock();
        drop(self.semaphore.take());
        // Only the map's is left: nobody has or waits for a place of this module.
        if modules
            .get(&self.module)
            .is_some_and(|left| Arc::strong_count(left) == 1)
        {
            modules.remove(&self.module);
        }
    }
}

impl Limits {
    /// `places` requests at once.
    pub fn new(places: usize) -> Self {
        Limits {
            all: Arc::new(Semaphore::new(places)),
            large: Arc::new(Semaphore::new((places - places / 4).max(1))),
            places,
            per_module: (places / 2).max(1),
            modules: Arc::default(),
        }
    }

    /// Waits for a place; `large` for a fetch that may take long.
    pub async fn place(&self, module: Option<&ModulePath>, large: bool) -> Option<Place> {
        let module = match module {
            Some(module) => Some(self.module_place(module).await?),
            None => None,
        };
        let large = match large {
            true => Some(Arc::clone(&self.large).acquire_owned().await.ok()?),
            false => None,
        };
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Place {
            _all: all,
            _large: large,
            _module: module,
        })
    }

    async fn module_place(&self, module: &ModulePath) -> Option<ModulePlace> {
        let semaphore = {
            let mut modules = self.modules.lock();
            let entry = modules.entry(module.clone());
            Arc::clone(entry.or_insert_with(|| Arc::new(Semaphore::new(self.per_module))))
        };
        let mut place = ModulePlace {
            permit: None,
            module: module.clone(),
            semaphore: Some(Arc::clone(&semaphore)),
            modules: Arc::clone(&self.modules),
        };
        place.permit = Some(semaphore.acquire_owned().await.ok()?);
        Some(place)
    }

    /// Places taken.
    pub fn in_use(&self) -> usize {
        self.places - self.all.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_module_takes_half_and_leaves_nothing_behind() {
        let limits = Limits::new(4);
        let hog = ModulePath::parse("example.com/hog").unwrap();
        let other = ModulePath::parse("example.com/other").unwrap();
        let first = limits.place(Some(&hog), false).await.unwrap();
        let second = limits.place(Some(&hog), false).await.unwrap();
        let waiting = limits.place(Some(&hog), false);
        tokio::pin!(waiting);
        assert!((&mut waiting).now_or_never().is_none());
        let third = limits.place(Some(&other), false).await.unwrap();
        assert_eq!(limits.in_use(), 3);
        drop(first);
        let fourth = waiting.await.unwrap();
        drop((second, third, fourth));
        assert_eq!(limits.in_use(), 0);
        assert!(limits.modules.lock().is_empty());
    }

    #[tokio::test]
    async fn zips_leave_a_quarter_to_small_files() {
        let limits = Limits::new(8);
        let module = |n: u32| ModulePath::parse(&format!("example.com/m{n}")).unwrap();
        let mut zips = Vec::new();
        for n in 0..6 {
            zips.push(limits.place(Some(&module(n)), true).await.unwrap());
        }
        assert!(
            limits
                .place(Some(&module(7)), true)
                .now_or_never()
                .is_none()
        );
        assert!(
            limits
                .place(Some(&module(8)), false)
                .now_or_never()
                .is_some()
        );
        assert!(
            limits
                .place(Some(&module(9)), false)
                .now_or_never()
                .is_some()
        );
    }
}
