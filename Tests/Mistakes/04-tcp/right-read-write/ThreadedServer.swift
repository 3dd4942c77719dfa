import Sockets

func threadedServer(host: String, port: UInt16) throws {
    let listener = try listen(host, port)
    defer { close(listener) }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 512 * 1024)
    while true {
        guard let fd = try next(listener) else { continue }
        var thread = pthread_t()
        // The number itself travels in the pointer (plus one, for 0 would be no pointer).
        let started = pthread_create(
            &thread, &attributes,
            { argument in
                converse(Int32(Int(bitPattern: argument) - 1))
                return nil
            }, UnsafeMutableRawPointer(bitPattern: Int(fd) + 1))
        if started != 0 { close(fd) }
    }
}
