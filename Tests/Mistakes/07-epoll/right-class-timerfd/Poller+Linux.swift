// Nothing here: see EpollServer.swift.
