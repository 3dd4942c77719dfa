import Dispatch
import Sockets

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    let queue = DispatchQueue(label: "server")
    nonisolated(unsafe) var sources: [Int32: Connection] = [:]
    let accepting = DispatchSource.makeReadSource(fileDescriptor: listener, queue: queue)
    accepting.setEventHandler {
        while let accepted = try? acceptClient(listener), case .client(let descriptor) = accepted {
            sources[descriptor] = Connection(descriptor, on: queue) { sources[descriptor] = nil }
        }
    }
    accepting.resume()
    withExtendedLifetime((accepting, sources)) { DispatchSemaphore(value: 0).wait() }
}

private final class Connection {
    private let client = Client()
    private let descriptor: Int32
    private let reading: any DispatchSourceRead
    private let writing: any DispatchSourceWrite
    private var buffer = makeReceiveBuffer()
    private var isReading = true
    private var isWriting = false

    init(_ descriptor: Int32, on queue: DispatchQueue, whenDone: @escaping () -> Void) {
        self.descriptor = descriptor
        reading = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        writing = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        nonisolated(unsafe) let done = whenDone
        nonisolated(unsafe) let me = self
        for source in [reading, writing] as [any DispatchSourceProtocol] {
            source.setEventHandler { me.advance(done) }
        }
        reading.resume()
    }

    private func advance(_ done: () -> Void) {
        if client.wantsToReceive { _ = client.receive(from: descriptor, using: &buffer) }
        if client.wantsToSend { _ = client.send(to: descriptor) }
        if client.isFinished {
            reading.setEventHandler {}
            writing.setEventHandler {}
            if !isReading { reading.resume() }
            if !isWriting { writing.resume() }
            reading.cancel()
            writing.cancel()
            close(descriptor)
            return done()
        }
        if client.wantsToReceive != isReading {
            isReading ? reading.suspend() : reading.resume()
            isReading.toggle()
        }
        if client.wantsToSend != isWriting {
            isWriting ? writing.suspend() : writing.resume()
            isWriting.toggle()
        }
    }
}
