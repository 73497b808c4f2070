"""Serves `upper` until it is asked to `stop`, in the way that its second argument says.

Called with the endpoint of a broker and `strict` (MDP/0.2), `zguide` (MDP/0.1) or `words` (the Go
plantd's form of MDP/0.2).
"""

import sys

import zmq

FORMS = {
    # What begins each message to the broker; READY, FINAL, DISCONNECT; what follows the token.
    "strict": ([b"MDPW02"], b"\x01", b"\x04", b"\x06", [b""]),
    "zguide": ([b"", b"MDPW01"], b"\x01", b"\x03", b"\x05", [b""]),
    "words": ([b"", b"MDPW02"], b"READY", b"FINAL", b"DISCONNECT", []),
}
REQUESTS = (b"\x02", b"REQUEST")


def main(endpoint, form):
    prefix, ready, final, disconnect, delimiter = FORMS[form]
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.rcvtimeo = 30_000
    socket.connect(endpoint)
    socket.send_multipart([*prefix, ready, b"upper"])
    while True:
        frames = socket.recv_multipart()
        if frames[0] == b"":
            frames = frames[1:]
        if frames[1] not in REQUESTS:
            socket.send_multipart([*prefix, frames[1]])
            continue
        token, body = frames[2], frames[4]
        socket.send_multipart([*prefix, final, token, *delimiter, body.upper()])
        if body == b"stop":
            break
    socket.send_multipart([*prefix, disconnect])
    context.destroy(linger=5_000)


if __name__ == "__main__":
    main(*sys.argv[1:])
