import Course
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    while true {
        let client = try acceptClient(listener)
        // The number itself travels where a pointer would: nothing has to be kept or freed.
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, &attributes,
            { argument in
                let client = Int32(Int(bitPattern: argument) - 1)
                echo(Channel(socket: client))
                close(client)
                return nil
            }, UnsafeMutableRawPointer(bitPattern: Int(client) + 1))
        if failure != 0 { close(client) }
    }
}

private func echo(_ channel: Channel) {
    let decoder = FrameDecoder(limit: largestMessage)
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 20_000, alignment: 8)
    defer { room.deallocate() }
    do {
        while case let count = try channel.receive(room), count > 0 {
            decoder.feed(Array(room[..<count]))
            while let message = try decoder.next() {
                try channel.send([networkBytes(UInt32(message.count)), message])
            }
        }
    } catch {
        // Only this client is done.
    }
}

func networkBytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
}
