// There is no loop: each connection has a thread. See ChatServer.swift and Gateway.swift.
