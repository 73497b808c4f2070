import zmq

broker = zmq.Context().socket(zmq.DEALER)
broker.connect("tcp://127.0.0.1:9797")
broker.send_multipart([b"MDPC02", b"\x01", b"org.plantd.module.Echo", b"hello"])
if broker.poll(5000) == 0:
    raise SystemExit("no answer within 5 seconds")
_, command, service, *body = broker.recv_multipart()
print(body[0].decode())
