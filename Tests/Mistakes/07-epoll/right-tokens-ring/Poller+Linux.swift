// Empty: the parts are in EpollServer.swift.
