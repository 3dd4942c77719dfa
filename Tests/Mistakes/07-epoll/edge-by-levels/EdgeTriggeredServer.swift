import Sockets

func edgeTriggeredServer(host: String, port: UInt16) throws { try epollServer(host: host, port: port) }
