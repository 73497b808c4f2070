import time
import zmq

bus = zmq.Context().socket(zmq.PUB)
bus.connect("tcp://127.0.0.1:12000")
time.sleep(0.5)  # PUB drops what it sends before the broker's subscriptions have come.
bus.send_multipart([b"org.example.greeting", b"hello"])
bus.close(linger=1000)
