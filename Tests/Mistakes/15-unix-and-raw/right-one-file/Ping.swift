// All of it is in UnixEchoServer.swift.
