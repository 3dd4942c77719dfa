/// Lesson 10: Options.
public struct Lesson10: LessonContract {
    public static let slug = "10-options"

    /// The bytes in reverse order.
    public var reverseBytes: ([UInt8]) throws -> [UInt8]

    public init(
        reverseBytes: @escaping ([UInt8]) throws -> [UInt8]
    ) {
        self.reverseBytes = reverseBytes
    }

    public var entries: [Entry] {
        [
            .function("reverse-bytes") { .bytes(try reverseBytes(try $0.bytes(0))) }
        ]
    }
}
