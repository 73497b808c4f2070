"""Asks the service `upper` in every way that pyzmq programs do; exits 0 if each answer is right.

Called with the endpoint of a broker.
"""

import sys

import zmq

PATIENCE_MS = 30_000


def connect(context, kind, endpoint):
    socket = context.socket(kind)
    socket.linger = 0
    socket.rcvtimeo = PATIENCE_MS
    socket.connect(endpoint)
    return socket


def main(endpoint):
    context = zmq.Context()

    dealer = connect(context, zmq.DEALER, endpoint)
    dealer.send_multipart([b"MDPC02", b"\x01", b"upper", b"strict"])
    assert dealer.recv_multipart() == [b"MDPC02", b"\x03", b"upper", b"STRICT"]
    for size in (0, 255, 256, 65_536, 1_048_576):
        dealer.send_multipart([b"MDPC02", b"\x01", b"upper", b"x" * size])
        assert dealer.recv_multipart() == [b"MDPC02", b"\x03", b"upper", b"X" * size]

    # As the zguide's examples do: a REQ socket, MDP/0.1 and MDP/0.2.
    req = connect(context, zmq.REQ, endpoint)
    req.send_multipart([b"MDPC01", b"upper", b"zguide"])
    assert req.recv_multipart() == [b"MDPC01", b"upper", b"ZGUIDE"]
    req = connect(context, zmq.REQ, endpoint)
    req.send_multipart([b"MDPC02", b"\x01", b"upper", b"zguide"])
    assert req.recv_multipart() == [b"MDPC02", b"\x03", b"upper", b"ZGUIDE"]

    words = connect(context, zmq.DEALER, endpoint)
    words.send_multipart([b"", b"MDPC02", b"REQUEST", b"upper", b"words"])
    assert words.recv_multipart() == [b"MDPC02", b"FINAL", b"upper", b"WORDS"]

    dealer.send_multipart([b"MDPC02", b"\x01", b"mmi.service", b"upper"])
    assert dealer.recv_multipart() == [b"MDPC02", b"\x03", b"mmi.service", b"200"]
    context.destroy()


if __name__ == "__main__":
    main(sys.argv[1])
