import zmq

bus = zmq.Context().socket(zmq.SUB)
bus.connect("tcp://127.0.0.1:12001")
bus.subscribe("org.example.")
while True:
    topic, *frames = bus.recv_multipart()
    # A plantd source writes a header between the topic and the body.
    print(topic.decode(), frames[-1].decode(), flush=True)
