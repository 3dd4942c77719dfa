import Course
@preconcurrency import Dispatch
import Foundation
import Sockets

@Sendable func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let hall = Hall()
    // libdispatch's timer has its descriptor from now on.
    await rest(1)
    try await hall.run(host, port, grace)
}

private actor Hall {
    private var present: [Int: Guest] = [:]
    private var last = 0

    func run(_ host: String, _ port: UInt16, _ grace: Milliseconds) async throws {
        var listener: Listener? = try Listener(host, port, waits: false)
        var failure: (any Error)?
        await withDiscardingTaskGroup { group in
            do {
                while !Task.isCancelled {
                    switch try listener!.ask(waits: false) {
                    case .guest(let guest):
                        last += 1
                        let name = last
                        present[name] = guest
                        group.addTask {
                            await chat(guest)
                            guest.leave()
                            await self.forget(name)
                        }
                        await Task.yield()
                    case .nobodyThere: await readiness(listener!.number, .toRead, untilCancelled: true)
                    case .askAgain: break
                    case .full: await rest(50)
                    }
                }
            } catch { failure = error }
            // Nobody new, before anything else. Its source has been cancelled by now.
            listener = nil
            for guest in present.values { guest.end(SHUT_RD) }
            // Who is still here then. The group may have ended long before: then there is nobody.
            let late = Array(present.values)
            DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(grace)) {
                for guest in late { guest.end(SHUT_RDWR) }
            }
        }
        if let failure { throw failure }
    }

    private func forget(_ name: Int) { present[name] = nil }
}

private func chat(_ guest: Guest) async {
    while true {
        switch guest.hear() {
        case .gone: return
        case .silent: await readiness(guest.number, .toRead)
        case .said(let bytes):
            var answer = loud(bytes)[...]
            while !answer.isEmpty {
                guard let count = guest.tell(answer) else { return }
                answer = answer.dropFirst(count)
                if count == 0 { await readiness(guest.number, .toWrite) }
            }
        }
        await Task.yield()
    }
}

private enum Readiness { case toRead, toWrite }

/// The stop wakes those who read by shutdown, which makes them readable; only the listener is waited for until cancelled.
private func readiness(_ number: Int32, _ what: Readiness, untilCancelled: Bool = false) async {
    let source: any DispatchSourceProtocol =
        what == .toRead
        ? DispatchSource.makeReadSource(fileDescriptor: number, queue: .global())
        : DispatchSource.makeWriteSource(fileDescriptor: number, queue: .global())
    nonisolated(unsafe) let once = source
    await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
            once.setCancelHandler { continuation.resume() }
            once.setEventHandler { once.cancel() }
            once.resume()
        }
    } onCancel: {
        if untilCancelled { once.cancel() }
    }
}

private func rest(_ time: Milliseconds) async {
    await withCheckedContinuation { continuation in
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(time)) { continuation.resume() }
    }
}
