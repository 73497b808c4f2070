import json

import zmq


def ask(operation, **fields):
    request = [operation.encode(), json.dumps(fields).encode()]
    broker.send_multipart([b"MDPC02", b"\x01", b"org.plantd.State", *request])
    if broker.poll(5000) == 0:
        raise SystemExit("no answer within 5 seconds")
    reply = json.loads(broker.recv_multipart()[3])
    if not reply["success"]:
        raise SystemExit(f"{reply['code']}: {reply['error']}")
    return reply["data"]


broker = zmq.Context().socket(zmq.DEALER)
broker.connect("tcp://127.0.0.1:9797")
ask("state-set", scope="org.example.Plant", key="pump/1", value={"on": True})
print(ask("state-get", scope="org.example.Plant", key="pump/1")["value"])
