"""The way to an upstream and back: sockets, connections, the answer's head and body, and where calls may go at all."""
