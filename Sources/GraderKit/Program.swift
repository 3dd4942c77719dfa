import Course
import Foundation
import Sockets

/// Whose code is judged: an executable that hosts a contract.
public struct Program: Sendable {
    public var executable: String
    public var arguments: [String]

    public init(executable: String, arguments: [String]) {
        self.executable = executable
        self.arguments = arguments
    }

    /// The student's: `Lesson04` in the folder of build products.
    public static func exercise(_ slug: String, products: URL) -> Program {
        Program(executable: products.appendingPathComponent("Lesson" + slug.prefix(2)).path, arguments: [])
    }

    /// The reference, which `lab` hosts.
    public static func solution(_ slug: String, products: URL) -> Program {
        Program(executable: products.appendingPathComponent("lab").path, arguments: ["host", slug])
    }

    /// Where SwiftPM put the program that runs now, and with it all others of this build.
    public static var products: URL {
        #if canImport(Glibc)
        let executable = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        #else
        let executable = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        #endif
        return executable.deletingLastPathComponent()
    }
}

/// What calls of the program the tap makes fail or come back short: `CTap/plan.c` says how rules read.
public struct FaultPlan: Sendable {
    public var rules: [String]
    public init(_ rules: [String] = []) { self.rules = rules }

    public static let none = FaultPlan()

    public enum Calls: String, Sendable {
        case receive, send, accept, connect, listen, socket, fork, resolve
        case waitReady = "wait-ready"
        case waitChild = "wait-child"
    }

    /// Each of these calls moves at most so many bytes.
    public static func most(_ bytes: Int, each calls: Calls) -> FaultPlan {
        FaultPlan(["\(calls.rawValue):max=\(bytes)"])
    }

    /// The first of these calls does.
    public static func most(_ bytes: Int, first calls: Calls) -> FaultPlan {
        FaultPlan(["\(calls.rawValue)#1-1:max=\(bytes)"])
    }

    /// Calls number `first` to `last` fail with this errno, without being made; `resolve` (getaddrinfo) returns the code.
    public static func fail(_ calls: Calls, _ first: Int = 1, through last: Int? = nil, with code: Int32) -> FaultPlan {
        FaultPlan(["\(calls.rawValue)#\(first)-\(last ?? first):errno=\(code)"])
    }

    /// Every `n`th of these calls fails.
    public static func fail(_ calls: Calls, every n: Int, with code: Int32) -> FaultPlan {
        FaultPlan(["\(calls.rawValue)%\(n):errno=\(code)"])
    }

    /// Nothing is sent into a socket of which poll says that there is no room.
    public static let noSendWithoutRoom = FaultPlan(["send:errno=\(EAGAIN)"])

    /// Every getaddrinfo finds this numeric address, too, before the others: a name with several addresses.
    public static func resolves(also address: String) -> FaultPlan { FaultPlan(["resolve:also=\(address)"]) }

    public static func + (left: FaultPlan, right: FaultPlan) -> FaultPlan { FaultPlan(left.rules + right.rules) }
}
