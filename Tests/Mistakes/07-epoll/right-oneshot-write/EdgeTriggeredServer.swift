import Course
import Sockets

/// What the last edge said, and no call has contradicted yet.
private struct Known {
    var talk = Conversation(heardAt: 0)
    var mayRead = true
    var mayWrite = true
    var isQueued = false

    var canGoOn: Bool { talk.phase == .over || (mayRead && talk.listens) || (mayWrite && talk.speaks) }
}

func edgeTriggeredServer(host: String, port: UInt16) throws {
    signal(SIGPIPE, SIG_IGN)
    let door = try openDoor(host: host, port: port)
    defer { close(door) }
    let list = try check("epoll_create1", epoll_create1(0))
    defer { close(list) }
    var event = epoll_event(events: EPOLLIN.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: door))
    try check("epoll_ctl", epoll_ctl(list, EPOLL_CTL_ADD, door, &event))

    var table: [Known?] = []
    defer { for fd in table.indices where table[fd] != nil { close(Int32(fd)) } }
    var events = [epoll_event](repeating: epoll_event(), count: 2048)
    var room = [UInt8](repeating: 0, count: 16_384)
    var queue: [Int32] = []
    var knock = false
    let broken = EPOLLERR.rawValue | EPOLLHUP.rawValue

    while true {
        let n = Int(epoll_wait(list, &events, 2048, !queue.isEmpty ? 0 : knock ? 100 : -1))
        if n < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        for i in 0..<max(n, 0) {
            let (fd, bits) = (Int(events[i].data.fd), events[i].events)
            if fd == Int(door) {
                knock = true
                continue
            }
            guard fd < table.count, table[fd] != nil else { continue }
            if bits & (EPOLLIN.rawValue | broken) != 0 { table[fd]!.mayRead = true }
            if bits & (EPOLLOUT.rawValue | broken) != 0 { table[fd]!.mayWrite = true }
            if !table[fd]!.isQueued {
                table[fd]!.isQueued = true
                queue.append(Int32(fd))
            }
        }

        // One read and one write for each in turn, so nobody holds up the others.
        let turn = queue
        queue.removeAll(keepingCapacity: true)
        for fd in turn {
            guard var known = table[Int(fd)].take() else { continue }
            known.isQueued = false
            if known.mayRead && known.talk.listens { known.mayRead = known.talk.hear(fd, &room) }
            if known.mayWrite && known.talk.speaks {
                let before = known.talk.answers.count
                known.talk.speak(fd)
                known.mayWrite = known.talk.answers.count < before
            }
            if known.talk.phase == .over {
                close(fd)
                continue
            }
            if known.canGoOn {
                known.isQueued = true
                queue.append(fd)
            }
            table[Int(fd)] = known
        }

        while knock {
            let fd = accept(door, nil, nil)
            if fd >= 0 {
                _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)
                while table.count <= Int(fd) { table.append(nil) }
                var both = epoll_event(
                    events: EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: fd))
                guard epoll_ctl(list, EPOLL_CTL_ADD, fd, &both) == 0 else {
                    close(fd)
                    continue
                }
                var known = Known()
                known.isQueued = true
                table[Int(fd)] = known
                queue.append(fd)
                continue
            }
            switch errno {
            case EAGAIN: knock = false
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT,
                EOPNOTSUPP:
                continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: break
            default: throw SocketError("accept", errno)
            }
            break
        }
    }
}
