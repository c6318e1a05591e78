//! The buckets in which ARM counts requests, with the sizes that it documents.

use std::sync::Mutex;
use std::time::Duration;

use azurelustre_csi::adapters::arm::http::Method;

/// Tokens of each bucket, and when they were counted.
#[derive(Debug)]
pub(crate) struct Buckets(Mutex<[(f64, Duration); 3]>);

/// Size and refill a second of reads, writes, deletes.
const SIZES: [(f64, f64); 3] = [(250.0, 25.0), (200.0, 10.0), (200.0, 10.0)];

impl Buckets {
    pub(crate) fn full() -> Self {
        Self(Mutex::new(SIZES.map(|(size, _)| (size, Duration::ZERO))))
    }

    /// Takes a token, or returns after how many seconds there will be one.
    pub(crate) fn refuse(&self, method: &Method, now: Duration) -> Option<u64> {
        let class = match *method {
            Method::GET => 0,
            Method::DELETE => 2,
            _ => 1,
        };
        let (size, refill) = SIZES[class];
        let (level, counted) = &mut self.0.lock().unwrap()[class];
        *level = (*level + now.saturating_sub(*counted).as_secs_f64() * refill).min(size);
        *counted = now;
        if *level < 1.0 {
            return Some(((1.0 - *level) / refill).ceil() as u64);
        }
        *level -= 1.0;
        None
    }
}
