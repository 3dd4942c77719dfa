// Ways to do the same thing, measured in turns and drawn as bars: what lesson 13's demos have in common.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

/// One way, and what it cost.
struct MeasuredWay: Encodable {
    /// `one by one`, as `--json` names it.
    var name: String
    /// System calls for all of it, on the side that is measured.
    var calls: Int
    /// 10^6 bytes a second.
    var megabytesPerSecond: Double
    /// CPU time of the thread that is measured (ms) for all of it.
    var cpuMilliseconds: Double
}

/// Every way some rounds long, in turns, so that whatever else the machine does meets all of them; the middle round counts.
struct Contest {
    /// One run: it moves `bytes`, and says how many calls that took.
    struct Way {
        var name: String
        /// As a person reads it.
        var title: String
        var run: () throws -> Int
    }

    static let rounds = 3
    /// A way that is done sooner is run again (ns).
    private static let shortest: UInt64 = 40_000_000

    let play: Play
    let bytes: Int
    let ways: [Way]

    func measure() throws -> [MeasuredWay] {
        var results: [[MeasuredWay]] = ways.map { _ in [] }
        for round in 1...Contest.rounds {
            for (index, way) in ways.enumerated() {
                if play.stage.draws {
                    play.screen.progress(
                        StyledText(
                            say(
                                "measuring: \(way.title), round \(round) of \(Contest.rounds)",
                                "正在测量：\(way.title)，第 \(round)/\(Contest.rounds) 轮"), .quiet))
                }
                results[index].append(try measure(way))
            }
        }
        play.screen.eraseProgress()
        return results.map {
            $0.sorted { $0.megabytesPerSecond < $1.megabytesPerSecond }[Contest.rounds / 2]
        }
    }

    private func measure(_ way: Way) throws -> MeasuredWay {
        let (began, cpu) = (now(), threadTime())
        var (calls, times) = (0, 0)
        repeat {
            calls += try way.run()
            times += 1
        } while now() < began + Contest.shortest
        let seconds = Double(now() - began) / 1e9
        return MeasuredWay(
            name: way.name, calls: calls / times,
            megabytesPerSecond: (Double(bytes * times) / seconds / 1e5).rounded() / 10,
            cpuMilliseconds: (Double(threadTime() - cpu) / Double(times) / 1e4).rounded() / 100)
    }

    /// `  one by one   ████████   262,144 calls   1.2 MB/s   230.1 ms`
    func draw(_ measured: [MeasuredWay], _ heading: String) {
        guard play.stage.draws else {
            for way in measured {
                play.screen.print([
                    StyledText("\(way.name): \(way.calls) \(way.megabytesPerSecond) \(way.cpuMilliseconds)")
                ])
            }
            return
        }
        let columns = min(max(play.screen.columns, 60), 100)
        let names = (ways.map { displayWidth($0.title) }.max() ?? 0) + 2
        let numbers = 10 + 10 + 10
        let width = columns - names - 1 - numbers - 2
        let fastest = measured.map(\.megabytesPerSecond).max() ?? 1
        play.screen.print([
            StyledText(), StyledText(heading, .strong),
            StyledText(
                String(repeating: " ", count: names + 1 + width) + say("calls", "调用次数").leftPadded(to: 10)
                    + "MB/s".leftPadded(to: 10) + say("CPU ms", "CPU 毫秒").leftPadded(to: 10), .quiet),
        ])
        for (way, result) in zip(ways, measured) {
            let eighths = max(1, Int(result.megabytesPerSecond / max(fastest, 0.1) * Double(width) * 8))
            let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
            let bar = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
            play.screen.print([
                StyledText("  " + way.title.padded(to: names - 2) + " ")
                    + StyledText(bar.padded(to: width), result.megabytesPerSecond == fastest ? .good : .waiting)
                    + StyledText(grouped(result.calls).leftPadded(to: 10))
                    + StyledText("\(result.megabytesPerSecond)".leftPadded(to: 10), .strong)
                    + StyledText("\(result.cpuMilliseconds)".leftPadded(to: 10))
            ])
        }
    }
}

/// CPU time of this thread (ns).
private func threadTime() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

extension Play {
    func printMeasured(_ result: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        screen.print([StyledText(String(decoding: try encoder.encode(result), as: UTF8.self))])
    }
}

/// A TCP connection over loopback within this process, with somebody at its far end.
final class LoopbackConnection: @unchecked Sendable {
    /// Our end.
    let near: Int32
    private let far: Int32
    private let isDone = DispatchSemaphore(value: 0)

    /// - Parameter atFarEnd: runs on a thread of its own, with the other end, until it returns.
    init(_ atFarEnd: @escaping @Sendable (Int32) -> Void) throws {
        let address = try SocketAddress(host: "127.0.0.1", port: 0)
        let listener = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        defer { close(listener) }
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 1))
        let bound = try SocketAddress.local(of: listener)
        let near = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        do {
            try check("connect", bound.withSockaddr { connect(near, $0, $1) })
            let far = try check("accept", acceptCloseOnExec(listener))
            (self.near, self.far) = (near, far)
        } catch {
            close(near)
            throw error
        }
        try startThread { [self] in
            atFarEnd(far)
            isDone.signal()
        }
    }

    /// Ends it: whoever is at the far end sees the end of the stream, or cannot send any more.
    func end() {
        // Both: one that is blocked in send has nothing to fear from the end of the other side's reading.
        shutdown(far, SHUT_RDWR)
        shutdown(near, SHUT_RDWR)
        isDone.wait()
        close(near)
        close(far)
    }

    /// Takes whatever comes, until the end.
    static let sink: @Sendable (Int32) -> Void = { far in
        withUnsafeTemporaryAllocation(byteCount: 1 << 18, alignment: 16) { room in
            while true {
                let count = recv(far, room.baseAddress, room.count, 0)
                if count == 0 || count < 0 && errno != EINTR { return }
            }
        }
    }
}
