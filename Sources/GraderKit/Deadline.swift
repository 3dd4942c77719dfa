/// A point in time that a wait must not go past.
///
/// A check that expects something waits long and goes on at once when it comes, so a slow machine costs time, not
/// verdicts. `LAB_TIME_SCALE=4` makes every wait four times as long. And a program that could not run, because others had
/// the processors, is not late: see `extended`.
import Course
import Sockets

public struct Deadline: Sendable {
    /// Nanoseconds, CLOCK_MONOTONIC.
    let time: UInt64
    /// How long it was from the beginning, in nanoseconds; 0 for a point in time.
    private let length: UInt64
    /// Beyond this it is never renewed.
    private let last: UInt64

    /// How long a check waits for what it expects, in seconds.
    public static let patience = 10.0

    public static let scale = scale(from: getenv("LAB_TIME_SCALE").map { String(cString: $0) })

    /// 1 unless the text is a number above 0; a thousand at most.
    static func scale(from text: String?) -> Double {
        guard let scale = text.flatMap({ Double($0) }), scale > 0 else { return 1 }
        return min(scale, 1000)
    }

    /// What a wait of so many seconds brought, where it was in vain.
    public static func nothing(within seconds: Double = Deadline.patience) -> String {
        say("nothing within \(text(seconds)) s", "\(text(seconds)) 秒内什么也没有")
    }

    /// As many seconds as a wait of so many really takes, for people: `10`, `0.5`.
    static func text(_ seconds: Double, scale: Double = Deadline.scale) -> String {
        let tenths = Int((seconds * scale * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }

    public init(in seconds: Double = patience) {
        let length = UInt64(seconds * Deadline.scale * 1e9)
        let began = now()
        self.init(time: began + length, length: length, last: began + 6 * length)
    }

    /// - Parameter time: in nanoseconds, as `now()` counts.
    public init(at time: UInt64) { self.init(time: time, length: 0, last: time) }

    private init(time: UInt64, length: UInt64, last: UInt64) {
        (self.time, self.length, self.last) = (time, length, last)
    }

    /// The same wait once more, because something came: whoever sends little by little is slow, as any machine may be, and
    /// not silent. Six times the whole wait is the end of it.
    func renewed() -> Deadline { Deadline(time: max(time, min(now() + length, last)), length: length, last: last) }

    /// Later by the time that the program wanted to run and could not, but at most five times its length: a program that is
    /// blocked fails at the same moment on any machine, and one that is only starved does not.
    ///
    /// - Parameter starved: nanoseconds.
    func extended(by starved: UInt64) -> Deadline { Deadline(at: time + min(starved, 5 * length)) }

    public var hasPassed: Bool { now() >= time }

    /// What is left, for `poll`: 0 when it has passed, rounded up so that a wait does not end early.
    var milliseconds: Int32 {
        let left = Int64(time) - Int64(now())
        return left <= 0 ? 0 : Int32(clamping: (left + 999_999) / 1_000_000)
    }
}

/// Nanoseconds, CLOCK_MONOTONIC: the clock that the tap uses too, so that both sides share one time line.
public func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
