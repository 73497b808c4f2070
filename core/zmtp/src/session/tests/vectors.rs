//! The cases in `session/vectors`, each received at once and byte by byte.

use super::*;

#[test]
fn handshakes() {
    run(include_str!("../vectors/handshake.txt"));
}

#[test]
fn traffic() {
    run(include_str!("../vectors/traffic.txt"));
}

fn run(file: &str) {
    let cases: Vec<&str> = file.split("\ncase ").skip(1).collect();
    assert!(cases.len() > 20, "the file's cases are found");
    for case in cases {
        run_case(case, usize::MAX);
        run_case(case, 1);
    }
}

/// Plays one case with its bytes received in pieces of `piece` bytes.
fn run_case(case: &str, piece: usize) {
    let mut lines = case.lines();
    let name = lines.next().unwrap();
    let mut scene = begin(lines.next().unwrap());
    let mut shown = Vec::new();
    let mut expected = Vec::new();
    let mut sent = scene.transmit();
    let mut outcome = Ok(());
    for line in lines.filter(|line| !line.is_empty()) {
        match line.split_at(2) {
            ("< ", received) => {
                assert_eq!(outcome, Ok(()), "{name}: ends before {line}");
                for received in bytes(received).chunks(piece) {
                    let mut events = Vec::new();
                    outcome = scene.receive_into(received, &mut events);
                    shown.extend(events.iter().map(show));
                    sent.extend(scene.transmit());
                    if outcome.is_err() {
                        break;
                    }
                }
            }
            ("> ", expected) => {
                let expected = bytes(expected);
                assert!(sent.starts_with(&expected), "{name}: {line}, not {sent:?}");
                sent.drain(..expected.len());
            }
            ("= ", event) => expected.push(event.to_owned()),
            ("! ", reason) => {
                assert!(Violation::REASONS.contains(&reason), "{name}: {reason}");
                let violation = outcome.clone().expect_err(name);
                assert_eq!(violation.reason(), reason, "{name}: {violation}");
                outcome = Ok(());
            }
            _ => panic!("{name}: cannot read {line}"),
        }
    }
    assert_eq!(shown, expected, "{name}");
    assert_eq!(outcome, Ok(()), "{name}");
    assert!(sent.is_empty(), "{name}: sent {sent:?} too");
}

fn begin(line: &str) -> Scene {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["side", "binding", ours] => {
            Scene::new(SessionConfig::new(Side::Binding, socket_type(ours)))
        }
        ["side", "connecting", ours] => {
            Scene::new(SessionConfig::new(Side::Connecting, socket_type(ours)))
        }
        ["open", ours, theirs, version] => {
            let config = SessionConfig::new(Side::Binding, socket_type(ours));
            let minor = version.strip_prefix("3.").unwrap().parse().unwrap();
            Scene::open(config, socket_type(theirs), minor)
        }
        _ => panic!("cannot begin with {line}"),
    }
}

fn bytes(notation: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = notation;
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('"').and_then(|text| text.split_once('"'));
        let (token, after) = match quoted {
            Some((text, after)) => {
                bytes.extend_from_slice(text.as_bytes());
                ("", after)
            }
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        rest = after.trim_start();
        match token.split_once([':', '*']) {
            Some(("ready", name)) => bytes.extend(ready(name)),
            Some((pair, times)) => {
                let octet = u8::from_str_radix(pair, 16).unwrap();
                bytes.extend(std::iter::repeat_n(octet, times.parse().unwrap()));
            }
            None if token == "greeting" => bytes.extend(greeting(3, 1)),
            None if token.is_empty() => {}
            None => bytes.push(u8::from_str_radix(token, 16).unwrap()),
        }
    }
    bytes
}

fn show(event: &Event) -> String {
    match event {
        Event::Ready(peer) => format!(
            "ready {}.{} {} {:?}",
            peer.version.major, peer.version.minor, peer.socket_type, peer.identity
        ),
        Event::Message(message) => format!("message {message:?}"),
        Event::Run(run) => format!("run {run:?}"),
        Event::Subscription(Subscription::Subscribe(topic)) => {
            format!("subscribe \"{}\"", topic.escape_ascii())
        }
        Event::Subscription(Subscription::Cancel(topic)) => {
            format!("cancel \"{}\"", topic.escape_ascii())
        }
        Event::Marked(mark) => format!("marked {mark}"),
        Event::Ignored => "ignored".to_owned(),
    }
}
