import Foundation
import Sockets

func threadServer(host: String, port: UInt16) throws {
    try Listener(host, port).forEach { guest in
        let waiter = Thread { guest.serve() }
        waiter.stackSize = 1 << 18
        waiter.start()
    }
}
