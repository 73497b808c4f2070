//! One run, and many.

use std::any::Any;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use plantd_mdp::planted::Bug;

use crate::report::{Failure, Hunt, Run};
use crate::world::World;

/// Plays one seed. `bug` is planted into every machine that has a place for it.
///
/// # Errors
/// The first promise that was broken.
pub fn run(seed: u64, bug: Option<Bug>, is_verbose: bool) -> Result<Run, Failure> {
    let mut world = World::new(seed, bug, is_verbose);
    // A machine that finds its own state wrong panics.
    let played = panic::catch_unwind(AssertUnwindSafe(|| world.play()));
    let stage = &world.stage;
    let words = match played {
        Ok(Ok(())) => {
            return Ok(Run {
                simulated: stage.elapsed(),
                answered: stage.ledger.answered,
                failed: stage.ledger.failed,
                executed: stage.ledger.executed,
                seen: stage.seen.clone(),
            });
        }
        Ok(Err(violation)) => violation.to_string(),
        Err(panic) => words_of(panic.as_ref()),
    };
    let at = stage.elapsed();
    Err(Failure { seed, at, words })
}

/// Plays seeds with a bug until one finds it; gives what it found.
pub fn hunt(bug: Bug, seeds: Range<u64>) -> Option<Failure> {
    seeds
        .into_iter()
        .find_map(|seed| run(seed, Some(bug), false).err())
}

/// Plants each bug there is, on as many threads as there are processors, until a seed finds it.
pub fn hunt_all(seeds: Range<u64>) -> Hunt {
    let bugs = Mutex::new(Bug::ALL.iter());
    let hunt = Mutex::new(Hunt::default());
    on_all_processors(|| {
        loop {
            let next = bugs.lock().expect("runs do not panic").next();
            let Some(bug) = next else {
                return;
            };
            let found = self::hunt(*bug, seeds.clone());
            hunt.lock()
                .expect("runs do not panic")
                .0
                .insert(*bug, found);
        }
    });
    hunt.into_inner().expect("runs do not panic")
}

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Campaign {
    /// Runs that were played.
    pub runs: u64,
    /// The sum of what those without a violation came to.
    pub sum: Run,
    /// In the order of their seeds.
    pub failures: Vec<Failure>,
}

/// Plays many seeds, on as many threads as there are processors.
pub fn survey(seeds: Range<u64>) -> Campaign {
    let next = AtomicU64::new(seeds.start);
    let campaign = Mutex::new(Campaign::default());
    on_all_processors(|| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = run(seed, None, false);
            campaign.lock().expect("runs do not panic").add(outcome);
        }
    });
    let mut campaign = campaign.into_inner().expect("runs do not panic");
    campaign.failures.sort_by_key(|failure| failure.seed);
    campaign
}

fn on_all_processors(play: impl Fn() + Sync) {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(&play);
        }
    });
}

impl Campaign {
    /// Every failure, and the sum of the runs with the speed that they were played at.
    pub fn summary(&self, took: Duration) -> String {
        let failures = self.failures.iter();
        let mut text: String = failures.map(|failure| format!("{failure}\n")).collect();
        let Run {
            simulated,
            answered,
            failed,
            executed,
            ..
        } = &self.sum;
        let hours = simulated.as_secs_f64() / 3600.0;
        let took = took.as_secs_f64();
        let (runs, failures) = (self.runs, self.failures.len());
        text += &format!(
            "{runs} seeds, {failures} failed; {executed} executions, {answered} answers, {failed} \
             errors; {hours:.1} hours in {took:.1} s: {:.2} hours a second",
            hours / took
        );
        text
    }

    fn add(&mut self, outcome: Result<Run, Failure>) {
        self.runs += 1;
        match outcome {
            Ok(run) => {
                self.sum.simulated += run.simulated;
                self.sum.answered += run.answered;
                self.sum.failed += run.failed;
                self.sum.executed += run.executed;
                for (what, times) in run.seen {
                    *self.sum.seen.entry(what).or_default() += times;
                }
            }
            Err(failure) => self.failures.push(failure),
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}
