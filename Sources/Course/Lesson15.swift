/// Lesson 15: Unix and raw.
public struct Lesson15: LessonContract {
    public static let slug = "15-unix-and-raw"

    /// Sends back everything that a client sends, one client after another.
    public var echoServer: (_ host: String, _ port: UInt16) throws -> Void

    public init(
        echoServer: @escaping (_ host: String, _ port: UInt16) throws -> Void
    ) {
        self.echoServer = echoServer
    }

    public var entries: [Entry] {
        [
            .server("echo-server", echoServer)
        ]
    }
}
