//! Raw HTTP over real sockets.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::shutdown::Shutdown;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A safety net; every wait below is for bytes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    stream.write_all(request.as_bytes()).await.expect("write");
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset ends a connection as well as a close does.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes");
    String::from_utf8(bytes).expect("text")
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
}

async fn started(limits: Limits) -> (HealthServer, Health, Shutdown, Metrics) {
    let (shutdown, metrics) = (Shutdown::new(), Metrics::new());
    let health = Health::new(shutdown.clone());
    let server = HealthServer::limited(ANY_PORT, health.clone(), metrics.clone(), limits)
        .await
        .expect("bind any port");
    (server, health, shutdown, metrics)
}

#[tokio::test]
async fn healthz_follows_the_checks_and_livez_does_not() {
    let (server, health, ..) = started(LIMITS).await;
    let check = health.check("broker_connection");

    check.up();
    let answer = get(server.address(), "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: application/json\r\n"),
        "{answer}"
    );
    assert!(answer.contains(
        r#"{"version":"1","releaseId":"0.1.0","status":"UP","checks":[{"name":"broker_"#
    ));

    check.down("connection refused");
    let answer = get(server.address(), "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains(r#""reason":"connection refused""#),
        "{answer}"
    );
    assert!(
        get(server.address(), "/livez")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_forwarded_reader_sees_no_reason() {
    let (server, health, ..) = started(LIMITS).await;
    health.check("broker_connection").down("connection refused");
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
    let answer = exchange(server.address(), request).await;
    assert!(
        answer.contains(r#""status":"DOWN""#) && !answer.contains("reason"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_ietf_shape_is_for_who_asks_for_it() {
    let (server, health, ..) = started(LIMITS).await;
    health.check("broker_connection").up();
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\nAccept: text/html, application/health+json;q=0.9\r\n\r\n";
    let answer = exchange(server.address(), request).await;
    assert!(
        answer.contains("content-type: application/health+json\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains(r#"{"status":"pass","version":"1","releaseId":"0.1.0","checks":{"broker_"#),
        "{answer}"
    );
}

#[tokio::test]
async fn readyz_is_503_while_starting_and_while_draining() {
    let (server, health, shutdown, _) = started(LIMITS).await;
    assert!(
        get(server.address(), "/readyz")
            .await
            .starts_with("HTTP/1.1 503 ")
    );
    health.started();
    assert!(
        get(server.address(), "/readyz")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    shutdown.request();
    assert!(
        get(server.address(), "/readyz")
            .await
            .starts_with("HTTP/1.1 503 ")
    );
    assert!(
        get(server.address(), "/healthz")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn metrics_are_those_that_parts_registered() {
    use prometheus_client::metrics::counter::Counter;
    let (server, _health, _shutdown, metrics) = started(LIMITS).await;
    let (requests, replies) = (Counter::<u64>::default(), Counter::<u64>::default());
    metrics.register("broker", |registry| {
        registry.register("requests", "Requests", requests.clone())
    });
    metrics.register("module-echo", |registry| {
        registry.register("replies", "Replies", replies.clone())
    });
    requests.inc_by(3);

    let answer = get(server.address(), "/metrics").await;
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        head.contains(&format!("content-type: {}", metrics::CONTENT_TYPE)),
        "{head}"
    );
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    for line in [
        "plantd_broker_requests_total 3",
        "plantd_module_echo_replies_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    for name in [
        "plantd_build_info{version=\"0.1.0\"} 1",
        "process_resident_memory_bytes ",
        "process_start_time_seconds ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name} in {text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let (server, ..) = started(LIMITS).await;
    assert!(
        get(server.address(), "/")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    let answer = exchange(
        server.address(),
        "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    let answer = exchange(server.address(), "\u{1}\u{2}garbage\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let limits = Limits {
        exchange: Duration::from_millis(20),
        ..LIMITS
    };
    let (server, ..) = started(limits).await;
    let mut silent = TcpStream::connect(server.address()).await.expect("connect");
    silent
        .write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        .await
        .expect("write");
    assert_eq!(rest(&mut silent).await, "");
}

#[tokio::test]
async fn the_oldest_connection_makes_room_for_the_next() {
    let limits = Limits {
        connections: 2,
        exchange: PATIENCE,
    };
    let (server, ..) = started(limits).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(TcpStream::connect(server.address()).await.expect("connect"));
    }
    assert!(
        get(server.address(), "/livez")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert_eq!(rest(&mut held[0]).await, "");
}

#[tokio::test]
async fn a_taken_port_names_the_key_to_change() {
    let (server, health, _, metrics) = started(LIMITS).await;
    let error = HealthServer::start(server.address(), health, metrics)
        .await
        .expect_err("taken");
    let line = format!("{:#}", anyhow::anyhow!(error));
    assert!(line.contains(&server.address().to_string()), "{line}");
    assert!(
        line.contains("health_port") && line.contains("in use"),
        "{line}"
    );
}

#[tokio::test]
async fn the_port_is_free_once_the_server_is_dropped() {
    let (server, health, _, metrics) = started(LIMITS).await;
    let address = server.address();
    drop(server);
    let rebound = timeout(PATIENCE, async {
        loop {
            match HealthServer::start(address, health.clone(), metrics.clone()).await {
                Ok(server) => return server,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(rebound.await.expect("the port is free").address(), address);
}
