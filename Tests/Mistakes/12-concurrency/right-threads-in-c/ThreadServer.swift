import Course
import Foundation
import Sockets

func threadServer(host: String, port: UInt16) throws {
    let listening = try Listening(host, port)
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 256 * 1024)
    while true {
        let client = try listening.next()
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, &attributes,
            { argument in
                let client = Int32(Int(bitPattern: argument) - 1)
                shout(client)
                close(client)
                return nil
            }, UnsafeMutableRawPointer(bitPattern: Int(client) + 1))
        if failed != 0 { close(client) }
    }
}
