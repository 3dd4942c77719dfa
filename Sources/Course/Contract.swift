import Foundation

/// What a lesson asks a student to write: a struct of closures, one a function (`Lesson04`). The exercise's
/// `main.swift` fills it from the student's functions, `Solutions/04-tcp` from the reference; the compiler checks
/// that both fit. `entries` says how each closure is reached from outside the process.
public protocol LessonContract {
    /// The lesson's folder name: `04-tcp`.
    static var slug: String { get }
    var entries: [Entry] { get }
}

/// One closure of a contract, by the name that graders and the command line use: `uppercase-server`.
public struct Entry {
    public enum Kind {
        /// Called with values, answers with a value; its errors are reported, not judged. A `Value.socket` argument
        /// arrives as a descriptor that is already connected.
        case function(([Value]) throws -> Value)
        /// Runs until the process ends; bound to the host (numeric IPv4 or IPv6) and port (0: any) that it is given.
        case server((_ host: String, _ port: UInt16) throws -> Void)
        /// The same for a server of the Unix domain, which is bound to a path.
        case unixServer((_ path: String) throws -> Void)
    }

    public let name: String
    public let kind: Kind

    public static func function(_ name: String, _ body: @escaping ([Value]) throws -> Value) -> Entry {
        Entry(name: name, kind: .function(body))
    }

    public static func server(_ name: String, _ body: @escaping (String, UInt16) throws -> Void) -> Entry {
        Entry(name: name, kind: .server(body))
    }

    public static func unixServer(_ name: String, _ body: @escaping (String) throws -> Void) -> Entry {
        Entry(name: name, kind: .unixServer(body))
    }
}

/// What crosses between the grader and a lesson process.
public indirect enum Value: Equatable, Sendable {
    case none
    case bool(Bool)
    case int(Int)
    /// All the integers that a lesson needs, unsigned 64-bit ones too.
    case unsigned(UInt64)
    case bytes([UInt8])
    case string(String)
    case list([Value])
    /// As an argument only: the host makes a socket of this `type` (`SOCK_STREAM`, `SOCK_DGRAM`), connects it to
    /// `address` (a `sockaddr`'s bytes), and passes its descriptor.
    case socket(type: Int32, address: [UInt8])
    /// As an argument only: a descriptor of the grader's own, by its number there. The program gets a copy of it, so the
    /// socket can be of any kind and in any state, and the grader knows all about it.
    case passed(Int32)
    /// What a `.socket` or `.passed` argument has become by the time that a function sees it.
    case descriptor(Int32)
}

// Bytes go as base64, so that a megabyte of them takes milliseconds; an array of a million numbers takes a second.
extension Value: Codable {
    private enum Kind: String, Codable {
        case none, bool, int, unsigned, bytes, string, list, socket, passed, descriptor
    }

    public init(from decoder: any Decoder) throws {
        var parts = try decoder.unkeyedContainer()
        switch try parts.decode(Kind.self) {
        case .none: self = .none
        case .bool: self = .bool(try parts.decode(Bool.self))
        case .int: self = .int(try parts.decode(Int.self))
        case .unsigned: self = .unsigned(try parts.decode(UInt64.self))
        case .bytes: self = .bytes(Array(try parts.decode(Data.self)))
        case .string: self = .string(try parts.decode(String.self))
        case .list: self = .list(try parts.decode([Value].self))
        case .socket:
            self = .socket(type: try parts.decode(Int32.self), address: Array(try parts.decode(Data.self)))
        case .passed: self = .passed(try parts.decode(Int32.self))
        case .descriptor: self = .descriptor(try parts.decode(Int32.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var parts = encoder.unkeyedContainer()
        func put<Content: Encodable>(_ kind: Kind, _ content: Content) throws {
            try parts.encode(kind)
            try parts.encode(content)
        }
        switch self {
        case .none: try parts.encode(Kind.none)
        case .bool(let value): try put(.bool, value)
        case .int(let value): try put(.int, value)
        case .unsigned(let value): try put(.unsigned, value)
        case .bytes(let value): try put(.bytes, Data(value))
        case .string(let value): try put(.string, value)
        case .list(let values): try put(.list, values)
        case .socket(let type, let address):
            try put(.socket, type)
            try parts.encode(Data(address))
        case .passed(let value): try put(.passed, value)
        case .descriptor(let value): try put(.descriptor, value)
        }
    }
}

/// A grader that calls a function with arguments of the wrong kind: a mistake in the lab, not the student's.
public struct ArgumentError: Error, CustomStringConvertible {
    public let description: String
    public init(description: String) { self.description = description }
}

extension [Value] {
    public func bool(_ index: Int) throws -> Bool {
        if case .bool(let value) = try argument(index) { return value }
        throw wrong(index, "a Bool")
    }

    public func int(_ index: Int) throws -> Int {
        if case .int(let value) = try argument(index) { return value }
        throw wrong(index, "an Int")
    }

    public func unsigned<Integer: FixedWidthInteger & UnsignedInteger>(
        _ index: Int, as type: Integer.Type = Integer.self
    ) throws -> Integer {
        if case .unsigned(let value) = try argument(index), let exact = Integer(exactly: value) { return exact }
        throw wrong(index, "a \(type)")
    }

    public func bytes(_ index: Int) throws -> [UInt8] {
        if case .bytes(let value) = try argument(index) { return value }
        throw wrong(index, "bytes")
    }

    public func string(_ index: Int) throws -> String {
        if case .string(let value) = try argument(index) { return value }
        throw wrong(index, "a String")
    }

    public func list(_ index: Int) throws -> [Value] {
        if case .list(let value) = try argument(index) { return value }
        throw wrong(index, "a list")
    }

    public func descriptor(_ index: Int) throws -> Int32 {
        if case .descriptor(let value) = try argument(index) { return value }
        throw wrong(index, "a socket")
    }

    private func argument(_ index: Int) throws -> Value {
        guard indices.contains(index) else { throw ArgumentError(description: "argument \(index + 1) is missing") }
        return self[index]
    }

    private func wrong(_ index: Int, _ expected: String) -> ArgumentError {
        ArgumentError(description: "argument \(index + 1) should be \(expected), not \(self[index])")
    }
}
