/// Lesson 16: Production.
public struct Lesson16: LessonContract {
    public static let slug = "16-production"

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
