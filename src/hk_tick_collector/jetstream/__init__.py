"""The stream of ticks between hosts: our messages in NATS JetStream, which is called the engine here. Extra `stream`.

subjects.py    the names of the stream, of its subjects and of its sources
ticks.proto    the messages; ticks_pb2.py is made from it by tools/generate_proto.sh
message.py     ticks, sums and requests ↔ bytes
credentials.py a credentials file or nkey seed file → signatures
client.py      the client of nats-py, which ends a connection that cannot be understood
connect.py     addresses and credentials → one connection to one server, or the reason why there is none
engine.py      requests to JetStream and their answers: store a message, ask for one
streams.py     creates or checks the stream
reading.py     reads the messages of the stream in their order
anchor.py      whether the stream still holds the last message that it acknowledged

The engine delivers messages; it is not relied on to keep them, so its users check what it still holds. Nothing here
opens a day file, logs, or decides when to try again.
"""
