//! SKU lists, kept for ten minutes a region.
//!
//! The list is long, paged and the same for every claim; a thousand claims at once need it once. While the
//! cloud fails, an old list is better than none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::locked;
use crate::domain::names::Location;
use crate::domain::sku::SkuCatalog;
use crate::ports::clock::Clock;
use crate::ports::cloud::{Cloud, CloudError};

/// How long a list is taken as it is.
pub const FRESH_FOR: Duration = Duration::from_mins(10);

/// SKU lists by region, each with the time it was read.
#[derive(Debug, Default)]
pub struct SkuCache(Mutex<HashMap<Location, (Duration, Arc<SkuCatalog>)>>);

impl SkuCache {
    /// The SKUs of a region: a fresh copy if there is one, else from the cloud, else a stale copy, else the error.
    pub async fn get(
        &self,
        cloud: &dyn Cloud,
        clock: &dyn Clock,
        location: &Location,
    ) -> Result<Arc<SkuCatalog>, CloudError> {
        let now = clock.now();
        let kept = locked(&self.0).get(location).cloned();
        if let Some((read_at, catalog)) = &kept
            && now.saturating_sub(*read_at) < FRESH_FOR
        {
            return Ok(Arc::clone(catalog));
        }
        match (cloud.skus(location).await, kept) {
            (Ok(catalog), _) => Ok(self.keep(location, now, catalog)),
            (Err(error), Some((read_at, stale))) => {
                let age = now.saturating_sub(read_at).as_secs();
                tracing::warn!(%location, %error, age_seconds = age, "SKU list cannot be read; an old copy serves");
                Ok(stale)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn keep(&self, location: &Location, now: Duration, catalog: SkuCatalog) -> Arc<SkuCatalog> {
        let catalog = Arc::new(catalog);
        // A list without any SKU is an answer, but not one to hold claims back with for ten minutes.
        if !catalog.skus().is_empty() {
            locked(&self.0).insert(location.clone(), (now, Arc::clone(&catalog)));
        }
        catalog
    }
}
