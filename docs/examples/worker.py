import zmq

while True:  # Registers, and does so again when the broker is silent for three heartbeats.
    broker = zmq.Context.instance().socket(zmq.DEALER)
    broker.connect("tcp://127.0.0.1:9797")
    broker.send_multipart([b"MDPW02", b"\x01", b"org.example.Upper"])
    while broker.poll(7500):
        _, command, *frames = broker.recv_multipart()
        if command == b"\x02":  # REQUEST: a token and an empty frame, to be returned, and the body
            answer = [frame.upper() for frame in frames[2:]]
            broker.send_multipart([b"MDPW02", b"\x04", *frames[:2], *answer])
        elif command == b"\x05":  # HEARTBEAT: this worker is alive, too
            broker.send_multipart([b"MDPW02", b"\x05"])
    broker.close(linger=0)
