//! Arbitrary frames and orders of events: no panic, and each request ends once.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;

#[derive(Debug, Clone)]
enum Step {
    AddLink,
    RemoveLink(u32),
    Opened(u32, bool),
    Closed(u32),
    Request {
        timeout_ms: Option<u64>,
        retry: Retry,
        window: Option<u32>,
    },
    Cancel(u64),
    Read(u64),
    Command(u32, ToClient),
    Frames(u32, Vec<Vec<u8>>),
    Pass(u64),
}

const CODES: &[&str] = &[
    "timeout",
    "draining",
    "cancelled",
    "busy",
    "worker-error",
    "who-knows",
    "",
];

fn command() -> impl Strategy<Value = ToClient> {
    let number = 0..12_u64;
    prop_oneof![
        number.clone().prop_map(|number| partial(number, "part")),
        number.clone().prop_map(|number| last(number, "end")),
        (number, proptest::sample::select(CODES))
            .prop_map(|(number, code)| error(number, &[("code", code)])),
        Just(last(1 << 63, "200")),
    ]
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"MDPC03".to_vec()),
        Just(b"echo".to_vec()),
        (0..0x42_u8).prop_map(|command| vec![command]),
        (0..12_u64).prop_map(|number| number.to_be_bytes().to_vec()),
        vec(any::<u8>(), 0..24),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let link = 0..3_u32;
    let retry = prop_oneof![
        Just(Retry::Usual),
        Just(Retry::Never),
        (1..3_u32).prop_map(Retry::AtMost),
    ];
    let request = (
        proptest::option::of(0..4000_u64),
        retry,
        proptest::option::of(1..3_u32),
    );
    prop_oneof![
        1 => Just(Step::AddLink),
        1 => link.clone().prop_map(Step::RemoveLink),
        8 => (link.clone(), any::<bool>()).prop_map(|(link, ping)| Step::Opened(link, ping)),
        3 => link.clone().prop_map(Step::Closed),
        8 => request.prop_map(|(timeout_ms, retry, window)| Step::Request {
            timeout_ms,
            retry,
            window,
        }),
        1 => (0..12_u64).prop_map(Step::Cancel),
        2 => (0..12_u64).prop_map(Step::Read),
        8 => (link.clone(), command()).prop_map(|(link, command)| Step::Command(link, command)),
        2 => (link, vec(frame(), 0..6)).prop_map(|(link, frames)| Step::Frames(link, frames)),
        6 => (0..3000_u64).prop_map(Step::Pass),
    ]
}

/// The requests that have not ended.
#[derive(Default)]
struct Open(BTreeSet<RequestId>);

impl Open {
    fn check(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Final { request, .. } | Output::Failed { request, .. } => {
                    assert!(self.0.remove(&request), "{request} ended twice");
                }
                Output::Partial { request, .. } => assert!(self.0.contains(&request)),
                Output::Connect { .. } | Output::Close { .. } | Output::Send { .. } => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn every_request_ends_once_whatever_comes(steps in vec(step(), 0..150)) {
        let config = Config {
            max_unread_bytes: 200,
            ..Config::default()
        };
        let mut bench = Bench::with(config);
        bench.client.add_link();
        let mut open = Open::default();
        let mut next = 1;
        for step in steps {
            let now = bench.now;
            let client = &mut bench.client;
            match step {
                Step::AddLink => {
                    client.add_link();
                }
                Step::RemoveLink(link) => client.remove_link(LinkId(link), now),
                Step::Opened(link, has_ping) => client.handle_opened(LinkId(link), has_ping, now),
                Step::Closed(link) => client.handle_closed(LinkId(link), now),
                Step::Request { timeout_ms, retry, window } => {
                    let deadline = timeout_ms.map(|timeout| now + Duration::from_millis(timeout));
                    let request = Request { deadline, retry, window, ..echo() };
                    client.handle_request(id(next), request, now).unwrap();
                    open.0.insert(id(next));
                    next += 1;
                }
                Step::Cancel(number) => {
                    if let Some(id) = RequestId::new(number) {
                        client.handle_cancel(id);
                        open.0.remove(&id);
                    }
                }
                Step::Read(number) => {
                    if let Some(id) = RequestId::new(number) {
                        client.handle_read(id, 4);
                    }
                }
                Step::Command(link, command) => {
                    client.handle_message(LinkId(link), &encoded(&command), now);
                }
                Step::Frames(link, frames) => {
                    client.handle_message(LinkId(link), &Message::from_frames(frames), now);
                }
                Step::Pass(millis) => {
                    let outputs = bench.pass(Duration::from_millis(millis));
                    open.check(outputs);
                }
            }
            let outputs = bench.outputs();
            open.check(outputs);
            prop_assert_eq!(open.0.len(), bench.client.request_count());
        }

        // What has a deadline, or waits for a link, ends by itself.
        let links: Vec<_> = bench.client.links.keys().copied().collect();
        for link in links {
            bench.client.remove_link(link, bench.now);
        }
        let outputs = bench.outputs();
        open.check(outputs);
        let outputs = bench.pass(Duration::from_secs(10));
        open.check(outputs);
        prop_assert!(open.0.is_empty());
    }
}
