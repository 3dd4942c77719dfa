import Foundation
import Sockets

/// Lesson 07: epoll (kqueue on macOS). The kernel keeps the list of whom you wait for, and names only who is ready.
public struct Lesson07: LessonContract {
    public static let slug = "07-epoll"

    /// Upper case for thousands of clients in one thread, level-triggered.
    public var epollServer: (_ host: String, _ port: UInt16) throws -> Void
    /// The same, edge-triggered.
    public var edgeTriggeredServer: (_ host: String, _ port: UInt16) throws -> Void
    /// The same, and closes a client that has sent nothing for `timeout`.
    public var idleTimeoutServer: (_ host: String, _ port: UInt16, _ timeout: Milliseconds) throws -> Void
    /// A descriptor that `requestStop` makes readable: an eventfd, or a pipe.
    public var makeStopper: () throws -> Stopper
    /// May be called from any thread.
    public var requestStop: (Stopper) -> Void
    /// The same server until stop is requested: then it takes no more clients, reads no more, sends what is pending, closes
    /// everything but the stopper, and returns.
    public var stoppableServer: (_ host: String, _ port: UInt16, Stopper) throws -> Void

    public init(
        epollServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        edgeTriggeredServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        idleTimeoutServer: @escaping (_ host: String, _ port: UInt16, _ timeout: Milliseconds) throws -> Void,
        makeStopper: @escaping () throws -> Stopper,
        requestStop: @escaping (Stopper) -> Void,
        stoppableServer: @escaping (_ host: String, _ port: UInt16, Stopper) throws -> Void
    ) {
        self.epollServer = epollServer
        self.edgeTriggeredServer = edgeTriggeredServer
        self.idleTimeoutServer = idleTimeoutServer
        self.makeStopper = makeStopper
        self.requestStop = requestStop
        self.stoppableServer = stoppableServer
    }

    /// What `idleTimeoutServer` is started with by graders and on the command line.
    public static let idleTimeout: Milliseconds = 1500

    public var entries: [Entry] {
        [
            .server("epoll-server", epollServer),
            .server("edge-triggered-server", edgeTriggeredServer),
            .server("idle-timeout-server") { host, port in
                try idleTimeoutServer(host, port, Lesson07.idleTimeout)
            },
            // SIGTERM, or Ctrl-C, requests the stop.
            .server("stoppable-server") { host, port in
                let stopper = try makeStopper()
                onStopSignal { requestStop(stopper) }
                try stoppableServer(host, port, stopper)
            },
        ]
    }
}

/// How one thread tells another, which waits in epoll, to stop.
public struct Stopper: Sendable {
    /// Becomes readable when stop is requested.
    public var waitOn: Int32
    /// What `requestStop` writes to: the same descriptor for an eventfd, the other end for a pipe.
    public var writeTo: Int32

    public init(waitOn: Int32, writeTo: Int32) {
        self.waitOn = waitOn
        self.writeTo = writeTo
    }
}
