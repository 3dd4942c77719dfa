// How one thread waits for many descriptors: what lesson 06 does with select, and lesson 07 with epoll or kqueue.
import Sockets

/// What is asked about a descriptor.
struct Interest: Equatable {
    var reading: Bool
    var writing: Bool
}

/// Something that was asked about has happened to it.
struct Readiness {
    var descriptor: Int32
    /// Or there is an error, or the end, which recv will tell.
    var canRead: Bool
}

protocol Poller {
    /// - Returns: false if it cannot wait for this one.
    mutating func add(_ descriptor: Int32, _ interest: Interest) throws -> Bool
    mutating func change(_ descriptor: Int32, _ interest: Interest) throws
    /// Before the descriptor is closed.
    mutating func remove(_ descriptor: Int32)
    /// - Parameter timeout: in milliseconds; nil waits as long as it takes.
    /// - Returns: none if the time is over or a signal came.
    mutating func wait(timeout: Int?) throws -> [Readiness]
    func closeAll()
}

/// select(2): the lists are made anew for each call, and hold no number from FD_SETSIZE (1,024) on.
struct SelectPoller: Poller {
    private var interests: [Int32: Interest] = [:]

    mutating func add(_ descriptor: Int32, _ interest: Interest) -> Bool {
        // FD_SET with a higher number writes past the end of the set (select(2), BUGS).
        guard descriptor < Int32(FD_SETSIZE) else { return false }
        interests[descriptor] = interest
        return true
    }

    mutating func change(_ descriptor: Int32, _ interest: Interest) { interests[descriptor] = interest }

    mutating func remove(_ descriptor: Int32) { interests[descriptor] = nil }

    mutating func wait(timeout: Int?) throws -> [Readiness] {
        var readable = fd_set()
        var writable = fd_set()
        fdZero(&readable)
        fdZero(&writable)
        for (descriptor, interest) in interests {
            if interest.reading { fdSet(descriptor, &readable) }
            if interest.writing { fdSet(descriptor, &writable) }
        }
        let highest = interests.keys.max() ?? -1
        var time = timeval()
        time.tv_sec = numericCast((timeout ?? 0) / 1000)
        time.tv_usec = numericCast((timeout ?? 0) % 1000 * 1000)
        let count =
            timeout == nil
            ? select(highest + 1, &readable, &writable, nil, nil)
            : select(highest + 1, &readable, &writable, nil, &time)
        if count < 0 {
            if errno == EINTR { return [] }
            throw SocketError("select", errno)
        }
        return interests.keys.compactMap { descriptor in
            let canRead = fdIsSet(descriptor, &readable) != 0
            let canWrite = fdIsSet(descriptor, &writable) != 0
            return canRead || canWrite ? Readiness(descriptor: descriptor, canRead: canRead) : nil
        }
    }

    func closeAll() {}
}
