// Everything is in ConnectWithRetry.swift.
