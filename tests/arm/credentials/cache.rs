//! What is kept and for how long, and one exchange at a time.

use std::sync::Arc;
use std::time::Duration;

use azurelustre_csi::adapters::arm::credentials::{ManagedIdentity, TokenErrorKind};
use wiremock::ResponseTemplate;

use super::world::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn unavailable() -> ResponseTemplate {
    ResponseTemplate::new(503)
}

#[tokio::test]
async fn a_token_is_kept_until_five_minutes_before_its_expiry() {
    let world = World::hourly().await;
    let credential = world.credential(with_secret("not-so-secret"));
    assert_eq!(text(credential.token().await), "token-1");
    world.clock.advance(seconds(55 * 60 - 1));
    assert_eq!(text(credential.token().await), "token-1");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.count().await, 1);
    // Then it is refreshed behind the caller, who does not wait.
    world.clock.advance(seconds(1));
    assert_eq!(text(credential.token().await), "token-1");
    world.serves(&credential, "token-2").await;
    assert_eq!(world.count().await, 2);
}

#[tokio::test]
async fn a_short_lived_token_is_refreshed_when_a_third_of_its_life_is_left() {
    let world = World::new(|number| token(number, 90)).await;
    let credential = world.credential(with_secret("not-so-secret"));
    assert_eq!(text(credential.token().await), "token-1");
    world.clock.advance(seconds(59));
    assert_eq!(text(credential.token().await), "token-1");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.count().await, 1);
    world.clock.advance(seconds(1));
    assert_eq!(text(credential.token().await), "token-1");
    world.serves(&credential, "token-2").await;
}

#[tokio::test]
async fn shortly_before_expiry_callers_wait_for_the_new_token() {
    let world = World::hourly().await;
    let credential = world.credential(with_secret("not-so-secret"));
    for (passed, expected) in [(minutes(0), "token-1"), (seconds(3570), "token-2"), (minutes(60), "token-3")] {
        world.clock.advance(passed);
        assert_eq!(text(credential.token().await), expected);
    }
}

#[tokio::test]
async fn a_hundred_callers_make_one_exchange() {
    for response in [token as fn(usize, u64) -> ResponseTemplate, |_, _| unavailable()] {
        let world = World::new(move |number| response(number, 3600).set_delay(Duration::from_millis(100))).await;
        let credential = Arc::new(world.credential(with_secret("not-so-secret")));
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let credential = Arc::clone(&credential);
                tokio::spawn(async move { credential.token().await.map(|token| token.reveal().to_owned()) })
            })
            .collect();
        let mut outcomes = Vec::new();
        for caller in callers {
            outcomes.push(caller.await.unwrap().map_err(|error| error.kind));
        }
        outcomes.dedup();
        assert!(
            matches!(outcomes.as_slice(), [Ok(text)] if text == "token-1")
                || outcomes == [Err(TokenErrorKind::Unavailable)]
        );
        assert_eq!(world.count().await, 1);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_breaks_nothing() {
    let world = World::new(|number| token(number, 3600).set_delay(Duration::from_millis(200))).await;
    let credential = world.credential(with_secret("not-so-secret"));
    let impatient = tokio::time::timeout(Duration::from_millis(50), credential.token()).await;
    assert!(impatient.is_err());
    world.asked(1).await;
    assert_eq!(text(credential.token().await), "token-1");
    assert_eq!(world.count().await, 1);
}

#[test]
fn a_runtime_that_ended_breaks_nothing() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let outer = runtime();
    let world = outer.block_on(World::new(|number| {
        let delay = if number == 1 { Duration::from_secs(30) } else { Duration::ZERO };
        token(number, 3600).set_delay(delay)
    }));
    let credential = world.credential(with_secret("not-so-secret"));
    let ended = runtime();
    let begun = ended.block_on(async { tokio::time::timeout(Duration::from_millis(50), credential.token()).await });
    assert!(begun.is_err());
    outer.block_on(world.asked(1));
    ended.shutdown_background();
    let later = async {
        // A caller that joins the exchange that ended gets that error.
        while let Err(error) = credential.token().await {
            assert!(error.message.contains("interrupted"), "{error}");
        }
        text(credential.token().await)
    };
    let later = async { tokio::time::timeout(Duration::from_secs(5), later).await.unwrap() };
    assert_eq!(outer.block_on(later), "token-2");
}

#[tokio::test]
async fn a_failed_refresh_is_served_from_the_valid_token_and_not_repeated_for_half_a_minute() {
    let world = World::new(|number| if number == 1 { token(1, 3600) } else { unavailable() }).await;
    let credential = world.credential(with_secret("not-so-secret"));
    assert_eq!(text(credential.token().await), "token-1");
    world.clock.advance(minutes(56));
    assert_eq!(text(credential.token().await), "token-1");
    world.asked(2).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(text(credential.token().await), "token-1");
    }
    world.clock.advance(seconds(29));
    assert_eq!(text(credential.token().await), "token-1");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.count().await, 2);
    world.clock.advance(seconds(1));
    assert_eq!(text(credential.token().await), "token-1");
    world.asked(3).await;
}

#[tokio::test]
async fn a_failed_refresh_at_the_last_moment_is_served_from_the_valid_token() {
    let world = World::new(|number| if number == 1 { token(1, 3600) } else { unavailable() }).await;
    let credential = world.credential(with_secret("not-so-secret"));
    assert_eq!(text(credential.token().await), "token-1");
    world.clock.advance(seconds(3599));
    for _ in 0..3 {
        assert_eq!(text(credential.token().await), "token-1");
        assert_eq!(world.count().await, 2);
    }
    // Without a valid token every call tries, and says why it failed.
    world.clock.advance(seconds(1));
    for tries in [3, 4] {
        let error = credential.token().await.unwrap_err();
        assert_eq!((error.kind, world.count().await), (TokenErrorKind::Unavailable, tries));
    }
}

#[tokio::test]
async fn a_rejected_token_is_never_served_again() {
    // The issuer has a cache of its own, as the instance metadata service does: the second exchange brings the same token.
    let world = World::new(|number| token(number.div_ceil(2), 3600)).await;
    let credential = world.credential(with_secret("not-so-secret"));
    let first = credential.token().await.unwrap();
    credential.reject(&first);
    let error = credential.token().await.unwrap_err();
    assert_eq!(error.kind, TokenErrorKind::Refused);
    assert!(error.message.contains("again") && error.hint.is_some(), "{error}");
    let second = credential.token().await.unwrap();
    assert_eq!((second.reveal(), world.count().await), ("token-2", 3));
    // Late news about the first does not touch the second.
    credential.reject(&first);
    assert_eq!(text(credential.token().await), "token-2");
    assert_eq!(world.count().await, 3);
}

/// The metadata service gives out one token for up to a day; a wrong 401 must not cost as long.
#[tokio::test]
async fn a_rejected_token_that_its_issuer_stands_by_is_tried_again_after_a_minute() {
    let world = World::new(|_| token(1, 86_400)).await;
    let credential = world.credential(managed(ManagedIdentity::System));
    let first = credential.token().await.unwrap();
    for passed in [0, 30, 29] {
        if passed == 0 {
            credential.reject(&first);
        }
        world.clock.advance(seconds(passed));
        assert_eq!(credential.token().await.unwrap_err().kind, TokenErrorKind::Refused, "{passed}");
    }
    world.clock.advance(seconds(1));
    assert_eq!(text(credential.token().await), "token-1");
    // And refused again if it really is none.
    credential.reject(&first);
    assert_eq!(credential.token().await.unwrap_err().kind, TokenErrorKind::Refused);
}

#[tokio::test]
async fn a_token_rejected_during_its_refresh_is_not_what_a_failure_falls_back_on() {
    let world =
        World::new(
            |number| {
                if number == 1 { token(1, 3600) } else { unavailable().set_delay(Duration::from_millis(100)) }
            },
        )
        .await;
    let credential = Arc::new(world.credential(with_secret("not-so-secret")));
    let first = credential.token().await.unwrap();
    world.clock.advance(seconds(3599));
    let waiting = tokio::spawn({
        let credential = Arc::clone(&credential);
        async move { credential.token().await.map(|_| ()).map_err(|error| error.kind) }
    });
    world.asked(2).await;
    credential.reject(&first);
    assert_eq!(waiting.await.unwrap(), Err(TokenErrorKind::Unavailable));
}
