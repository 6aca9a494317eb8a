//! The session against a model of a cluster, over links that lose, repeat, delay
//! and reorder messages and break at any time; and the outbox against crashes.

mod devices;
mod door;
mod driver;
mod model;
mod outbox;
mod session;
mod sim;

/// Runs `case` for many seeds. `RUSTCHAT_SEED=N` runs one; `RUSTCHAT_SEEDS=N` sets how many.
fn for_seeds(count: u64, case: impl Fn(u64)) {
    let from_env = |key: &str| std::env::var(key).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = from_env("RUSTCHAT_SEED") {
        return case(seed);
    }
    for seed in 0..from_env("RUSTCHAT_SEEDS").unwrap_or(count) {
        let run = std::panic::AssertUnwindSafe(|| case(seed));
        if let Err(why) = std::panic::catch_unwind(run) {
            let fixed = why.downcast_ref::<&str>().copied();
            let text = why.downcast_ref::<String>().map(String::as_str).or(fixed);
            let text = text.unwrap_or("it failed");
            panic!("RUSTCHAT_SEED={seed} shows it again: {text}");
        }
    }
}
