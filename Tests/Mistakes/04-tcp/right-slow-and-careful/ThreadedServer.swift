import Foundation
import Sockets

func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    while true {
        let connection: Int32
        do {
            connection = try acceptClient(listener)
        } catch {
            close(listener)
            throw error
        }
        let thread = Thread {
            serve(connection)
        }
        thread.start()
    }
}
