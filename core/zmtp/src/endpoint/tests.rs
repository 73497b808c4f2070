//! Endpoints as text.

use proptest::prelude::*;

use super::*;

fn tcp(host: &str, port: u16) -> Endpoint {
    Endpoint::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn ipc(path: &str) -> Endpoint {
    Endpoint::Ipc { path: path.into() }
}

#[test]
fn endpoints_are_read_and_written() {
    for (text, endpoint, written) in [
        ("tcp://*:9797", tcp("*", 9797), "tcp://*:9797"),
        ("tcp://*:*", tcp("*", 0), "tcp://*:0"),
        (
            "tcp://host.example:1",
            tcp("host.example", 1),
            "tcp://host.example:1",
        ),
        (
            "@tcp://127.0.0.1:0",
            tcp("127.0.0.1", 0),
            "tcp://127.0.0.1:0",
        ),
        (
            ">tcp://a-b_c:65535",
            tcp("a-b_c", 65535),
            "tcp://a-b_c:65535",
        ),
        ("tcp://[::1]:9797", tcp("::1", 9797), "tcp://[::1]:9797"),
        ("tcp://[0:0:0:0:0:0:0:1]:2", tcp("::1", 2), "tcp://[::1]:2"),
        ("ipc:///run/b.sock", ipc("/run/b.sock"), "ipc:///run/b.sock"),
        ("@ipc://relative", ipc("relative"), "ipc://relative"),
    ] {
        assert_eq!(text.parse(), Ok(endpoint.clone()), "{text}");
        assert_eq!(endpoint.to_string(), written);
    }
}

#[test]
fn errors_say_what_is_wrong() {
    for (text, error) in [
        ("", EndpointError::NoTransport(String::new())),
        (
            "localhost:9797",
            EndpointError::NoTransport("localhost:9797".into()),
        ),
        ("udp://a:1", EndpointError::UnknownTransport("udp".into())),
        (
            "@@tcp://a:1",
            EndpointError::UnknownTransport("@tcp".into()),
        ),
        ("tcp://a", EndpointError::NoPort("a".into())),
        ("tcp://a:", EndpointError::Port(String::new())),
        ("tcp://a:65536", EndpointError::Port("65536".into())),
        ("tcp://a:-1", EndpointError::Port("-1".into())),
        ("tcp://:1", EndpointError::Host(String::new())),
        ("tcp://::1:1", EndpointError::Host("::1".into())),
        ("tcp://[::1:1", EndpointError::Host("[::1".into())),
        ("tcp://[host]:1", EndpointError::Host("[host]".into())),
        ("tcp://eth0;a:1", EndpointError::Host("eth0;a".into())),
        ("tcp://a/b:1", EndpointError::Host("a/b".into())),
        ("ipc://", EndpointError::NoPath),
        ("ipc://*", EndpointError::NoPath),
        ("ipc://@name", EndpointError::AbstractPath("@name".into())),
        ("ipc://a\0b", EndpointError::ZeroInPath),
    ] {
        assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
    }
}

#[test]
fn a_unix_path_has_at_most_107_bytes() {
    let fits = "p".repeat(107);
    let too_long = "p".repeat(108);

    assert_eq!(format!("ipc://{fits}").parse(), Ok(ipc(&fits)));
    assert_eq!(
        format!("ipc://{too_long}").parse::<Endpoint>(),
        Err(EndpointError::PathTooLong {
            path: too_long,
            bytes: 108
        })
    );
}

#[test]
fn loopback_is_what_only_this_machine_reaches() {
    for (text, is_loopback) in [
        ("tcp://127.0.0.1:1", true),
        ("tcp://127.8.8.8:1", true),
        ("tcp://[::1]:1", true),
        ("tcp://[::ffff:127.0.0.1]:1", true),
        ("tcp://localhost:1", true),
        ("tcp://LocalHost:1", true),
        ("ipc://x", true),
        ("tcp://*:1", false),
        ("tcp://0.0.0.0:1", false),
        ("tcp://10.0.0.1:1", false),
        ("tcp://localhost.example:1", false),
    ] {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.is_loopback(), is_loopback, "{text}");
    }
}

#[test]
fn what_is_to_listen_at_is_not_dialable() {
    for (text, is_dialable) in [
        ("tcp://127.0.0.1:1", true),
        ("tcp://broker.example:1", true),
        ("ipc://x", true),
        ("tcp://*:1", false),
        ("tcp://127.0.0.1:0", false),
    ] {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.check_dialable().is_ok(), is_dialable, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_an_endpoint_that_reads_back_or_an_error(text in "(tcp://|ipc://|@|>)?[ -~]{0,20}") {
        if let Ok(endpoint) = text.parse::<Endpoint>() {
            prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
    }
}
