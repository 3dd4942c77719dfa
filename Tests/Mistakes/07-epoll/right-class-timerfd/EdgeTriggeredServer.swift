import Course
import Sockets

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let (listener, queue) = try openListenerAndQueue(
        host: host, port: port, listenerMask: EPOLLIN.rawValue | EPOLLET.rawValue)
    var peers: [Int32: Peer] = [:]
    defer {
        for fd in peers.keys { close(fd) }
        close(listener)
        close(queue)
    }
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 32_768, alignment: 64)
    defer { scratch.deallocate() }
    var events = [epoll_event](repeating: epoll_event(), count: 1024)
    let everything = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
    // Who has something to do without being told once more; in turn.
    var busy: [Peer] = []
    var queueMayHold = false

    while true {
        let patience: Int32 = !busy.isEmpty ? 0 : queueMayHold ? 100 : -1
        let count = Int(epoll_wait(queue, &events, Int32(events.count), patience))
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        var turn = busy
        var known = Set(busy.map(\.fd))
        busy = []
        for index in 0..<max(0, count) {
            let fd = events[index].data.fd
            if fd == listener {
                queueMayHold = true
            } else if let peer = peers[fd], known.insert(fd).inserted {
                turn.append(peer)
            }
        }
        for peer in turn {
            var goesOn = true
            var rounds = 0
            while goesOn && rounds < 8 {
                rounds += 1
                goesOn = false
                if peer.takesInput && peer.receive(into: scratch) != .nothing { goesOn = true }
                if peer.hasOutput && peer.transmit() != .nothing { goesOn = true }
            }
            if peer.isDone {
                peers[peer.fd] = nil
                close(peer.fd)
            } else if goesOn {
                busy.append(peer)
            }
        }
        while queueMayHold {
            guard let fd = try nextConnection(of: listener) else {
                queueMayHold = false
                break
            }
            if fd < 0 { break }
            var event = epoll_event(events: everything, data: epoll_data_t(fd: fd))
            if epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event) != 0 {
                close(fd)
                continue
            }
            peers[fd] = Peer(fd)
        }
    }
}
