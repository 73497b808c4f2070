//! Conformance 38–54: messages that are no commands, or none that are due.

use super::*;

/// A stranger sends this; it is refused for this reason alone, unanswered, and nobody notices.
#[track_caller]
fn refused(message: Frames, reason: Rejection) {
    let mut plant = Plant::new();
    let stranger = plant.opens(false);

    plant.sends(stranger, message);
    plant.passes(2 * H);

    plant.assert_rejected(&[reason]);
    assert_eq!(plant.hears(stranger), []);
    plant.assert_nothing_is_held();
    plant.assert_alive();
    assert!(plant.closed.is_empty());
}

/// A stranger sends this and gets DISCONNECT.
#[track_caller]
fn dismissed(message: Frames, reason: Rejection) {
    let mut plant = Plant::new();
    let stranger = plant.opens(false);

    plant.sends(stranger, message);

    plant.assert_rejected(&[reason]);
    assert!(plant.takes_one(stranger).is_disconnect());
    plant.assert_nothing_is_held();
    plant.assert_alive();
}

/// A busy worker sends this, made from its token.
struct Misuse {
    plant: Plant,
    client: PeerId,
    worker: PeerId,
    request: Frames,
}

impl Misuse {
    fn of(message: impl Fn(&Frames) -> Frames) -> Self {
        let mut plant = Plant::new();
        let (client, worker) = (plant.client(), plant.worker("echo"));
        plant.asks(client, "echo", "hi");
        let request = plant.takes_one(worker);
        plant.sends(worker, message(&request));
        Self {
            plant,
            client,
            worker,
            request,
        }
    }

    /// The worker got DISCONNECT, and its request goes to another.
    #[track_caller]
    fn dismisses_for(mut self, reason: Rejection) {
        assert_eq!(self.plant.takes(self.worker), [frames!["MDPW02", 6]]);
        self.plant.assert_rejected(&[reason]);
        self.plant.assert_silence(self.client);
        let other = self.plant.worker("echo");
        assert_eq!(self.plant.serves(other), 1);
        let answer = frames!["MDPC02", 3, "echo", "hi"];
        assert_eq!(self.plant.takes(self.client), [answer]);
        self.plant.assert_alive();
    }

    /// The worker is not answered, and can still end its request.
    #[track_caller]
    fn drops_it_for(mut self, reason: Rejection) {
        self.plant.assert_silence(self.worker);
        self.plant.assert_rejected(&[reason]);
        self.plant.echoes(self.worker, &self.request);
        let answer = frames!["MDPC02", 3, "echo", "hi"];
        assert_eq!(self.plant.takes(self.client), [answer]);
        self.plant.assert_alive();
    }
}

#[test]
fn cases_38_to_40_no_protocol() {
    for message in [
        frames![""],
        frames!["x"],
        frames!["", ""],
        frames!["", "", "MDPC02"],
    ] {
        refused(message, Rejection::UnknownProtocol);
    }
}

#[test]
fn cases_41_and_42_nothing_after_the_protocol() {
    refused(frames!["MDPC02"], Rejection::NoCommand);
    refused(frames!["", "MDPC02"], Rejection::NoCommand);
    refused(frames!["MDPW02"], Rejection::NoCommand);
    refused(frames!["", "MDPW02"], Rejection::NoCommand);
    refused(frames!["MDPW01"], Rejection::NoCommand);
    refused(frames!["MDPC03"], Rejection::NoCommand);
    refused(frames!["MDPW03"], Rejection::NoCommand);
    refused(frames!["", "MDPC01"], Rejection::NoService);
}

#[test]
fn cases_43_to_45_requests_that_ask_nothing() {
    refused(frames!["MDPC02", 1], Rejection::NoService);
    refused(frames!["MDPC02", 1, "echo"], Rejection::NoBody);
    refused(frames!["MDPC02", 1, "", "x"], Rejection::BadService);
    refused(frames!["", "MDPC01", "echo"], Rejection::NoBody);
    refused(frames!["", "MDPC02", "REQUEST", "echo"], Rejection::NoBody);
    refused(frames!["MDPC02", 1, "org.plantd.Broker"], Rejection::NoBody);
}

#[test]
fn case_46_client_commands_that_are_none() {
    for command in [0x00, 0x02, 0x03, 0x04, 0xff] {
        refused(
            frames!["MDPC02", command, "echo", "x"],
            Rejection::UnknownCommand,
        );
    }
    for command in ["", "\u{1}\u{1}", "request", "REQUESTS", "FINAL", "CANCEL"] {
        refused(
            frames!["MDPC02", command, "echo", "x"],
            Rejection::UnknownCommand,
        );
    }
    for command in [0x00, 0x02, 0x03, 0x04, 0x06, 0x08, 0x3f] {
        let message = frames!["MDPC03", command, "echo", header(1, &[]), "x"];
        refused(message, Rejection::UnknownCommand);
    }
}

#[test]
fn case_47_ready_for_nothing() {
    refused(frames!["MDPW02", 1], Rejection::NoService);
    refused(frames!["MDPW03", 1], Rejection::NoService);
}

#[test]
fn case_48_a_reply_without_a_token() {
    Misuse::of(|_| frames!["MDPW02", 3]).drops_it_for(Rejection::NoToken);
    Misuse::of(|_| frames!["MDPW02", 4]).drops_it_for(Rejection::NoToken);
}

#[test]
fn a_worker_that_sends_what_nobody_can_read_is_not_answered() {
    Misuse::of(|_| frames![""]).drops_it_for(Rejection::UnknownProtocol);
    Misuse::of(|_| frames!["x"]).drops_it_for(Rejection::UnknownProtocol);
    Misuse::of(|_| frames!["MDPW02"]).drops_it_for(Rejection::NoCommand);
}

#[test]
fn case_49_a_reply_without_a_body() {
    Misuse::of(|request| frames!["MDPW02", 4, request.token()]).dismisses_for(Rejection::NoBody);
    Misuse::of(|request| frames!["MDPW02", 4, request.token(), ""])
        .dismisses_for(Rejection::NoBody);
}

#[test]
fn case_50_a_reply_without_the_delimiter() {
    let message = |request: &Frames| frames!["MDPW02", 4, request.token(), "x", "y"];
    Misuse::of(message).dismisses_for(Rejection::NoDelimiter);
}

#[test]
fn case_51_commands_that_workers_do_not_send() {
    let message = |request: &Frames| frames!["MDPW02", 2, request.token(), "", "x"];
    Misuse::of(message).dismisses_for(Rejection::UnknownCommand);
    Misuse::of(|_| frames!["MDPW02", 7]).dismisses_for(Rejection::UnknownCommand);
    dismissed(frames!["MDPW02", 7], Rejection::UnknownCommand);
    dismissed(
        frames!["MDPW03", 8, "echo", header(0, &[])],
        Rejection::UnknownCommand,
    );
}

#[test]
fn case_52_headers_that_are_none() {
    for protocol in ["mdpc02", "MDPC0", "MDPC020", "MDPC04", "MDPW04", "MDPC00"] {
        refused(
            frames![protocol, 1, "echo", "x"],
            Rejection::UnknownProtocol,
        );
    }
    refused(frames!["MDPC03", 1, "echo", "x"], Rejection::BadHeader);
    refused(frames!["MDPC03", 1, "echo"], Rejection::BadHeader);
    refused(
        frames!["", "MDPC03", 1, "echo", header(1, &[]), "x"],
        Rejection::Delimiter,
    );
    refused(
        frames!["", "MDPW03", 1, "echo", header(0, &[])],
        Rejection::Delimiter,
    );
    dismissed(frames!["MDPW03", 1, "echo"], Rejection::BadHeader);
    dismissed(frames!["MDPW03", 1, "echo", "short"], Rejection::BadHeader);
}

#[test]
fn case_53_a_token_that_was_never_given() {
    Misuse::of(|_| frames!["MDPW02", 4, vec![9; 16], "", "x"])
        .dismisses_for(Rejection::UnknownToken);
    Misuse::of(|_| frames!["MDPW02", 4, "short", "", "x"]).dismisses_for(Rejection::UnknownToken);
    Misuse::of(|_| frames!["MDPW02", 3, "", "", "x"]).dismisses_for(Rejection::UnknownToken);
    let guess = |request: &Frames| {
        let mut token = request.token();
        token[15] ^= 1;
        frames!["MDPW02", 4, token, "", "x"]
    };
    Misuse::of(guess).dismisses_for(Rejection::UnknownToken);
}

#[test]
fn case_53_a_token_of_another_worker() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [honest, thief] = [(); 2].map(|()| plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    let request = plant.takes_one(honest);

    plant.sends(thief, request.last("stolen"));

    assert_eq!(plant.takes(thief), [frames!["MDPW02", 6]]);
    plant.assert_rejected(&[Rejection::UnknownToken]);
    plant.assert_silence(client);
    plant.echoes(honest, &request);
    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
}

#[test]
fn case_53_a_token_that_was_ended() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "1");
    let ended = plant.takes_one(worker);
    plant.echoes(worker, &ended);
    plant.asks(client, "echo", "2");
    plant.takes_one(worker);
    plant.takes(client);

    plant.echoes(worker, &ended);

    assert_eq!(plant.takes(worker), [frames!["MDPW02", 6]]);
    plant.assert_rejected(&[Rejection::UnknownToken]);
    plant.assert_silence(client);
    assert_eq!(plant.broker.tally().queued, 1);
}

#[test]
fn case_54_extra_frames_are_ignored() {
    let mut plant = Plant::new();
    let worker = plant.opens(false);
    plant.sends(worker, frames!["MDPW02", 1, "echo", "extra", ""]);
    assert!(plant.is_served("echo"));

    plant.passes(2 * H);
    plant.sends(worker, frames!["MDPW02", 5, "junk"]);
    plant.passes(2 * H);
    assert!(plant.is_served("echo"));

    plant.sends(worker, frames!["MDPW02", 6, "junk"]);
    assert!(!plant.is_served("echo"));
    plant.assert_silence(worker);
    plant.assert_rejected(&[]);
}

#[test]
fn mdp03_ignores_extra_frames() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.opens(false));
    plant.sends(
        worker,
        frames!["MDPW03", 1, "echo", header(0, &[]), "extra"],
    );
    plant.sends(worker, frames!["MDPW03", 5, header(0, &[]), "extra"]);
    plant.asks03(client, 1, "echo", "hi");
    plant.sends(
        client,
        frames!["MDPC03", 5, "echo", header(1, &[]), "extra"],
    );

    assert_eq!(plant.takes_one(client).error(), (1, "cancelled".to_owned()));
    plant.sends(worker, frames!["MDPW03", 6, header(0, &[]), "extra"]);
    assert!(!plant.is_served("echo"));
    plant.assert_rejected(&[]);
}

#[test]
fn mdp03_ignores_commands_of_later_versions() {
    for command in [0x40, 0x7f, 0xff] {
        refused(
            frames!["MDPC03", command, "whatever"],
            Rejection::LaterCommand,
        );
        refused(frames!["MDPW03", command], Rejection::LaterCommand);
    }
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");

    plant.sends(client, frames!["MDPC03", 0x40, "echo", header(1, &[])]);
    plant.sends(worker, frames!["MDPW03", 0x40]);

    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(client).len(), 1);
}

#[test]
fn a_malformed_request_whose_id_can_be_read_is_told_so() {
    let long = "x".repeat(129);
    let twice = header(1, &[("a", "1"), ("a", "2")]);
    let messages = [
        (
            frames!["MDPC03", 1, "echo", header(1, &[])],
            Rejection::NoBody,
        ),
        (
            frames!["MDPC03", 1, &long[..], header(1, &[]), "x"],
            Rejection::BadService,
        ),
        (
            frames!["MDPC03", 1, "echo", header(1, &[("A", "1")]), "x"],
            Rejection::BadHeader,
        ),
        (
            frames!["MDPC03", 1, "echo", twice, "x"],
            Rejection::BadHeader,
        ),
        (
            frames!["MDPC03", 1, "echo", vec![1; 4097], "x"],
            Rejection::BadHeader,
        ),
    ];
    for (message, reason) in messages {
        let mut plant = Plant::new();
        let client = plant.client();

        plant.sends(client, message);

        plant.assert_rejected(&[reason]);
        let error = plant.takes_one(client);
        assert_eq!(error.error().1, "bad-request");
        assert!(error.property("message").unwrap().contains(reason.as_str()));
        plant.assert_failed(ErrorCode::BadRequest, 1);
        plant.assert_nothing_is_held();
        plant.assert_alive();
    }
}

#[test]
fn a_refused_message_pins_nothing() {
    let mut plant = Plant::new();
    let (peer, _worker) = (plant.client(), plant.worker("echo"));

    plant.sends(peer, frames!["MDPC03", 1, "echo", header(1, &[])]);
    plant.sends(peer, frames!["MDPC01", "echo"]);
    plant.takes(peer);
    plant.asks(peer, "mmi.service", "echo");

    assert_eq!(
        plant.takes(peer),
        [frames!["MDPC02", 3, "mmi.service", "200"]]
    );
}
