//! Answers on their way from other threads.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
    thread,
};

use slotmap::SlotMap;

use super::*;

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The way back, and pledges of this many requests.
fn pledges(count: usize) -> (Arc<Returns>, Vec<(HeldKey, Pledge)>) {
    let returns = Returns::new(mpsc::channel(1).0);
    let mut keys = SlotMap::<HeldKey, ()>::with_key();
    let pledges = (0..count).map(|_| {
        let key = keys.insert(());
        (key, Pledge::new(returns.clone(), key))
    });
    let pledges = pledges.collect();
    (returns, pledges)
}

fn text(outcome: Outcome) -> String {
    match outcome {
        Ok(reply) => reply.body.text().unwrap().to_owned(),
        Err(error) => error.code,
    }
}

#[test]
fn a_group_of_answers_wakes_once_and_comes_in_its_order() {
    let (returns, pledges) = pledges(250);
    let keys: Vec<HeldKey> = pledges.iter().map(|(key, _)| *key).collect();
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(alarm.clone());
    let mut taken = Returned::new();
    let context = Context::from_waker(&waker);
    assert!(returns.poll_take(&mut taken, &context).is_pending());
    let answering = thread::spawn(move || {
        for (number, (_, pledge)) in pledges.into_iter().enumerate() {
            pledge.answer(Ok(number.to_string()));
        }
    });
    answering.join().unwrap();
    assert_eq!(alarm.0.load(Ordering::SeqCst), 1);
    assert!(returns.poll_take(&mut taken, &context).is_ready());
    let told: Vec<(HeldKey, String)> = taken.drain(..).map(|(key, it)| (key, text(it))).collect();
    let numbers = (0..250).map(|number| number.to_string());
    assert_eq!(told, keys.into_iter().zip(numbers).collect::<Vec<_>>());
    assert!(returns.poll_take(&mut taken, &context).is_pending());
}

#[test]
fn an_answer_that_comes_before_anybody_waits_is_there() {
    let (returns, pledges) = pledges(1);
    for (_, pledge) in pledges {
        pledge.answer(Ok("early"));
    }
    let mut taken = Returned::new();
    let context = Context::from_waker(Waker::noop());
    assert!(returns.poll_take(&mut taken, &context).is_ready());
    assert_eq!(text(taken.pop_front().unwrap().1), "early");
}

#[test]
fn a_pledge_that_is_given_up_is_an_error() {
    let (returns, pledges) = pledges(1);
    drop(pledges);
    let mut taken = Returned::new();
    assert!(returns.try_take(&mut taken));
    assert_eq!(text(taken.pop_front().unwrap().1), "unanswered");
}

#[test]
fn what_is_answered_after_the_worker_is_gone_is_dropped() {
    let (returns, mut pledges) = pledges(3);
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(alarm.clone());
    let mut taken = Returned::new();
    let context = Context::from_waker(&waker);
    assert!(returns.poll_take(&mut taken, &context).is_pending());
    returns.close();
    pledges.pop().unwrap().1.answer(Ok("late"));
    drop(pledges);
    assert!(!returns.try_take(&mut taken));
    assert_eq!(alarm.0.load(Ordering::SeqCst), 0);
}
