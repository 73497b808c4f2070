//! A broker whose process is stopped for a while (case 31).

use std::time::Duration;

use plantd_tests::frames;

use crate::Besieged;

#[test]
fn case_31_a_broker_that_was_stopped_expires_nobody_who_kept_heartbeating() {
    let interval = Duration::from_millis(200);
    let besieged = Besieged::with(&["--heartbeat-interval", "200ms", "--liveness", "2"]);
    besieged.broker.signal("STOP");
    // Until twice H·L has passed.
    for _ in 0..4 {
        besieged.honest.worker.send(frames!["MDPW02", 5]);
        assert!(
            !besieged.honest.client.hears_within(interval),
            "a stopped broker says nothing"
        );
    }
    besieged.broker.signal("CONT");

    besieged.honest_exchange();
    let reading = besieged.broker.metrics();
    assert_eq!(reading.rejections(), [].into());
    assert_eq!(reading.value("redispatches_total"), 0);
}
