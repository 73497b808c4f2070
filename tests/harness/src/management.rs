//! What people ask the broker about itself: MMI and `org.plantd.Broker`.

use plantd_mdp::broker::{Config, PeerId};
use plantd_mdp::command::ToClient;
use plantd_mdp::{Header, ServiceName};
use plantd_zmtp::Message;
use serde_json::Value;

use crate::broker::plant::{Plant, Told};
use crate::input::{frame_of, read};

/// Every question gets one answer with a status of RFC 8 and JSON, and changes nothing.
pub fn management(bytes: &[u8]) {
    let Some((is_mmi, subject, arguments)) = read::<(bool, &str, Vec<&[u8]>)>(bytes) else {
        return;
    };
    let name = if is_mmi {
        format!("{}{subject}", ServiceName::MMI_PREFIX)
    } else {
        ServiceName::BROKER.to_owned()
    };
    if ServiceName::parse(name.as_bytes()).is_err() {
        return;
    }
    let arguments = if is_mmi {
        arguments
    } else {
        [vec![subject.as_bytes()], arguments].concat()
    };
    let mut plant = Plant::new(Config::default());
    let client = populate(&mut plant);
    let before = plant.broker.tally().clone();
    let asked = frame_of(&Header::new(2));
    let question = [&b"MDPC03"[..], &[1], name.as_bytes(), &asked];
    let question = Message::from_frames([&question[..], &arguments].concat());
    plant.sends(client, question);
    let told = plant.takes();
    let [(peer, Told::Client(_, answer))] = &told[..] else {
        panic!("{name} is answered by {told:?}");
    };
    assert_eq!(*peer, client);
    check(is_mmi, answer);
    let after = plant.broker.tally();
    assert_eq!(after.services, before.services, "asking makes no service");
    assert_eq!(
        (after.queued, after.unanswered),
        (before.queued, before.unanswered)
    );
}

/// A worker, a request that waits, and the client that asked it.
fn populate(plant: &mut Plant) -> PeerId {
    let worker = plant.opens(false);
    plant.sends(
        worker,
        Message::from_frames([&b"MDPW02"[..], &[1], b"echo"]),
    );
    let client = plant.opens(false);
    let header = frame_of(&Header::new(1));
    let request = [&b"MDPC03"[..], &[1], b"nobody", &header, b"body"];
    plant.sends(client, Message::from_frames(request));
    assert!(plant.takes().is_empty());
    client
}

fn check(is_mmi: bool, answer: &ToClient) {
    let (header, body) = match answer {
        ToClient::Final { header, body, .. } => (header, body),
        // What is over a limit is not looked at.
        ToClient::Error { header, .. } => return assert_eq!(header.id, 2),
        ToClient::Partial { .. } => panic!("{answer:?} is a part"),
    };
    assert_eq!(header.id, 2);
    let mut frames = body.frames();
    let mut json = |what: &str| {
        let frame = frames.next().unwrap_or_else(|| panic!("{what} follows"));
        serde_json::from_slice::<Value>(frame).unwrap_or_else(|error| panic!("{what}: {error}"))
    };
    let first = json("a status or an answer");
    if is_mmi {
        let status = first.as_u64();
        assert!(matches!(status, Some(200 | 400 | 404 | 501)), "{answer:?}");
        if body.frame_count() > 1 {
            assert!(json("what was asked").is_object());
        }
    } else {
        assert!(first["success"].is_boolean(), "{answer:?}");
    }
    assert_eq!(frames.next(), None);
}
