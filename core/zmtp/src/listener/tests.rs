//! Binding, accepting and socket files.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn in_folder(folder: &tempfile::TempDir, name: &str) -> (PathBuf, Endpoint) {
    let path = folder.path().join(name);
    (path.clone(), Endpoint::Ipc { path })
}

#[tokio::test]
async fn tcp_listeners_say_their_actual_port_and_who_came() {
    for (text, dial) in [
        ("tcp://127.0.0.1:0", "127.0.0.1"),
        ("tcp://localhost:*", "127.0.0.1"),
        ("tcp://*:0", "127.0.0.1"),
    ] {
        let listener = Listener::bind(&endpoint(text)).await.unwrap();
        let Endpoint::Tcp { port, .. } = *listener.endpoint() else {
            panic!("{text} is tcp");
        };
        assert_ne!(port, 0);

        let dialled = endpoint(&format!("tcp://{dial}:{port}"));
        let (accepted, connected) = tokio::join!(listener.accept(), Stream::connect(&dialled));

        connected.unwrap();
        let (_, remote) = accepted.unwrap();
        assert!(
            remote.to_string().starts_with("tcp://127.0.0.1:"),
            "{remote}"
        );
        assert_eq!(remote.remote_ip(), None);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let first = Listener::bind(&endpoint("tcp://127.0.0.1:0"))
        .await
        .unwrap();

    let second = Listener::bind(first.endpoint()).await.unwrap_err();

    assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn endpoints_to_listen_at_cannot_be_connected_to() {
    for text in ["tcp://*:1", "tcp://127.0.0.1:0"] {
        let error = Stream::connect(&endpoint(text)).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn socket_files_are_private_and_go_with_their_listener() {
    let folder = tempfile::tempdir().unwrap();
    let (path, endpoint) = in_folder(&folder, "s");
    let listener = Listener::bind(&endpoint).await.unwrap();

    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (accepted, connected) = tokio::join!(listener.accept(), Stream::connect(&endpoint));
    connected.unwrap();
    assert_eq!(accepted.unwrap().1, RemoteAddress::Ipc);

    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (path, endpoint) = in_folder(&folder, "s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());

    let listener = Listener::bind(&endpoint).await.unwrap();
    let second = Listener::bind(&endpoint).await.unwrap_err();

    assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    let (accepted, connected) = tokio::join!(listener.accept(), Stream::connect(&endpoint));
    connected.unwrap();
    accepted.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, endpoint) = in_folder(&folder, "data");
    fs::write(&path, "precious").unwrap();

    let error = Listener::bind(&endpoint).await.unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_listener_leaves_the_file_of_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let (path, endpoint) = in_folder(&folder, "s");
    let first = Listener::bind(&endpoint).await.unwrap();
    fs::remove_file(&path).unwrap();
    let _second = Listener::bind(&endpoint).await.unwrap();

    drop(first);

    assert!(path.exists());
}
