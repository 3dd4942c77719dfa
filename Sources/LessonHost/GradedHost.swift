// A lesson process under a grader: supervised, limited, tapped, and driven over the control socket.
import CTap
import Course
import Foundation
import Sockets

struct GradedHost {
    let lesson: any LessonContract
    let descriptors: LabDescriptors

    func run() -> Never {
        let memory = environment("LAB_MEMORY_LIMIT").flatMap(UInt64.init) ?? .max
        let hidden = [descriptors.control, descriptors.tap]
        guard tap_supervise(descriptors.supervisor, memory, hidden) == 0 else { exit(3) }
        // From here on this is the child: the student's process.
        let control = ControlLine(descriptor: descriptors.control)
        let plan = environment("LAB_FAULT_PLAN") ?? ""
        if environment("LAB_TAP") == "until-listening" { tap_end_at_listen() }
        guard tap_start(descriptors.tap, plan, hidden, Int32(hidden.count)) == 0 else {
            control.send(.misused("\"\(plan)\" is not a fault plan"))
            exit(3)
        }
        if let folder = environment("LAB_FOLDER"), chdir(folder) != 0 {
            control.send(.misused("\(SocketError("chdir(\(folder))", errno))"))
            exit(3)
        }
        setLimits()
        for name in [
            "LAB_MEMORY_LIMIT", "LAB_FAULT_PLAN", "LAB_TAP", "LAB_CPU_LIMIT", "LAB_DESCRIPTOR_LIMIT", "LAB_FOLDER",
        ] {
            unsetenv(name)
        }
        reachedTodo = { file, line, step in control.send(.todo(file: file, line: line, step: step)) }
        control.send(.ready)
        let process = getpid()
        while let (request, passed) = control.receive() {
            let reply = answer(to: request, with: passed)
            guard getpid() == process else { endForkedChild(reply) }
            control.send(reply)
        }
        exit(0)
    }

    /// A child that the student's code forked came back from the function, as its parent will: the line to the grader is
    /// the parent's. It ends as it would alone on a terminal.
    private func endForkedChild(_ reply: HostReply) -> Never {
        guard case .threw(_, _, _, let description) = reply else { exit(0) }
        FileHandle.standardError.write(Data("\(description)\n".utf8))
        exit(1)
    }

    /// - Parameter passed: the descriptors that came with the request, in the order of its `.passed` arguments.
    private func answer(to request: HostRequest, with passed: [Int32]) -> HostReply {
        var passed = passed[...]
        do {
            switch request {
            case .call(let name, let arguments):
                guard case .function(let body)? = kind(of: name) else { return .misused("no function \"\(name)\"") }
                return .returned(try body(try arguments.map { try received($0, &passed) }))
            case .serve(let name, let host, let port):
                switch kind(of: name) {
                case .server(let body)?: try body(host, port)
                case .unixServer(let body)?: try body(host)
                case .function?, nil: return .misused("no server \"\(name)\"")
                }
                return .returned(.none)
            }
        } catch let error as ArgumentError {
            return .misused("\(request): \(error)")
        } catch let error as SocketError {
            return .threw(type: "SocketError", name: error.call, code: error.code, description: "\(error)")
        } catch let error as ResolveError {
            return .threw(type: "ResolveError", name: "", code: error.code, description: "\(error)")
        } catch {
            let text = "\(error)"
            let name = String(text.prefix { $0 != "(" })
            let type = typeName(of: error)
            return .threw(
                type: type, name: name, code: 0, description: type.contains(".") ? "\(type).\(text)" : text)
        }
    }

    private func kind(of name: String) -> Entry.Kind? { lesson.entries.first { $0.name == name }?.kind }

    /// A `.socket` argument becomes a connected descriptor, a `.passed` one the next that came with the request. The tap
    /// does not record it: it is the lab's doing.
    private func received(_ argument: Value, _ passed: inout ArraySlice<Int32>) throws -> Value {
        switch argument {
        case .socket(let type, let bytes):
            guard let address = SocketAddress(bytes: bytes) else { throw ArgumentError(description: "not an address") }
            let socket = tap_host_socket(address.family, type)
            // What fails here is the lab's trouble, not an error of the student's.
            guard socket >= 0, address.withSockaddr({ tap_host_connect(socket, $0, $1) }) == 0 else {
                throw ArgumentError(description: "cannot connect a socket to \(address): \(errorText(errno))")
            }
            return .descriptor(socket)
        case .passed:
            guard let descriptor = passed.popFirst() else { throw ArgumentError(description: "no descriptor came") }
            return .descriptor(descriptor)
        default: return argument
        }
    }

    private func setLimits() {
        limit(RLIMIT_CORE, to: 0)
        if let seconds = environment("LAB_CPU_LIMIT").flatMap(UInt.init) { limit(RLIMIT_CPU, to: seconds) }
        limit(RLIMIT_FSIZE, to: 1 << 30)
        if let descriptors = environment("LAB_DESCRIPTOR_LIMIT").flatMap(UInt.init) {
            limit(RLIMIT_NOFILE, to: descriptors)
        }
    }
}

private func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// How many descriptors one request may carry.
private let mostPassed = 8

/// The control socket as seen from the lesson process: `HostRequest`s in, `HostReply`s out.
struct ControlLine: @unchecked Sendable {
    let descriptor: Int32
    /// Several threads may reach a `todo()` at once.
    private let sending = NSLock()
    private let process = getpid()

    init(descriptor: Int32) { self.descriptor = descriptor }

    func send(_ reply: HostReply) {
        guard let body = try? JSONEncoder().encode(reply) else { preconditionFailure("every reply has a JSON form") }
        // A forked child has one thread only, and its copy of the lock may never be opened again.
        let isShared = getpid() == process
        if isShared { sending.lock() }
        defer { if isShared { sending.unlock() } }
        var bytes = (withUnsafeBytes(of: UInt32(body.count).bigEndian) { Array($0) } + body)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { tap_host_write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { exit(0) }  // the grader is gone
            bytes = bytes.dropFirst(count)
        }
    }

    /// A request, and the descriptors that came with it. Nil when the grader has closed the line.
    func receive() -> (request: HostRequest, passed: [Int32])? {
        var passed: [Int32] = []
        guard let header = read(4, &passed) else { return nil }
        let length = header.reduce(0) { $0 << 8 | Int($1) }
        guard let body = read(length, &passed) else { return nil }
        guard let request = try? JSONDecoder().decode(HostRequest.self, from: Data(body)) else { return nil }
        return (request, passed)
    }

    private func read(_ count: Int, _ passed: inout [Int32]) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var part = [UInt8](repeating: 0, count: min(count - bytes.count, 1 << 18))
            var descriptors = [Int32](repeating: -1, count: mostPassed)
            var descriptorCount: Int32 = 0
            let got = tap_host_receive(
                descriptor, &part, part.count, &descriptors, Int32(mostPassed), &descriptorCount)
            if got < 0 && errno == EINTR { continue }
            guard got > 0 else { return nil }
            bytes += part.prefix(got)
            passed += descriptors.prefix(Int(descriptorCount))
        }
        return bytes
    }
}
