// A lesson process under a grader: supervised, limited, tapped, and driven over the control socket.
import CTap
import Course
import Foundation
import Sockets

struct GradedHost {
    let lesson: any LessonContract
    let descriptors: LabDescriptors

    func run() -> Never {
        let memory = environment("LAB_MEMORY_LIMIT").flatMap(UInt64.init) ?? 1 << 30
        let hidden = [descriptors.control, descriptors.tap]
        guard tap_supervise(descriptors.supervisor, memory, hidden) == 0 else { exit(3) }
        // From here on this is the child: the student's process.
        setLimits()
        if let folder = environment("LAB_FOLDER") { chdir(folder) }
        let plan = environment("LAB_FAULT_PLAN") ?? ""
        for name in ["LAB_MEMORY_LIMIT", "LAB_FAULT_PLAN", "LAB_DESCRIPTOR_LIMIT", "LAB_FOLDER"] { unsetenv(name) }
        let control = ControlLine(descriptor: descriptors.control)
        guard tap_start(descriptors.tap, plan, hidden, Int32(hidden.count)) == 0 else {
            control.send(.misused("\"\(plan)\" is not a fault plan"))
            exit(3)
        }
        reachedTodo = { file, line, step in control.send(.todo(file: file, line: line, step: step)) }
        control.send(.ready(process: getpid()))
        while let request = control.receive() { control.send(answer(to: request)) }
        exit(0)
    }

    private func answer(to request: HostRequest) -> HostReply {
        do {
            switch request {
            case .call(let name, let arguments):
                guard case .function(let body)? = kind(of: name) else { return .misused("no function \"\(name)\"") }
                return .returned(try body(try arguments.map(connected)))
            case .serve(let name, let host, let port):
                guard case .server(let body)? = kind(of: name) else { return .misused("no server \"\(name)\"") }
                try body(host, port)
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
            return .threw(type: "\(type(of: error))", name: name, code: 0, description: text)
        }
    }

    private func kind(of name: String) -> Entry.Kind? { lesson.entries.first { $0.name == name }?.kind }

    /// A `.socket` argument becomes a connected descriptor. The tap does not record it: it
    /// is the lab's doing.
    private func connected(_ argument: Value) throws -> Value {
        guard case .socket(let type, let bytes) = argument else { return argument }
        guard let address = SocketAddress(bytes: bytes) else { throw ArgumentError(description: "not an address") }
        let socket = tap_host_socket(address.family, type)
        try check("socket", socket)
        try check("connect", address.withSockaddr { tap_host_connect(socket, $0, $1) })
        return .descriptor(socket)
    }

    private func setLimits() {
        limit(RLIMIT_CORE, to: 0)
        limit(RLIMIT_CPU, to: 300)  // seconds
        limit(RLIMIT_FSIZE, to: 2 << 30)
        if let descriptors = environment("LAB_DESCRIPTOR_LIMIT").flatMap(UInt.init) {
            limit(RLIMIT_NOFILE, to: descriptors)
        }
    }
}

private func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// The control socket as seen from the lesson process: `HostRequest`s in, `HostReply`s out.
struct ControlLine: @unchecked Sendable {
    let descriptor: Int32

    func send(_ reply: HostReply) {
        guard let body = try? JSONEncoder().encode(reply) else { exit(3) }
        var bytes = withUnsafeBytes(of: UInt32(body.count).bigEndian) { Array($0) } + body
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { tap_host_write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { exit(0) }  // the grader is gone
            bytes.removeFirst(count)
        }
    }

    /// Nil when the grader has closed the line.
    func receive() -> HostRequest? {
        guard let header = read(4) else { return nil }
        let length = header.reduce(0) { $0 << 8 | Int($1) }
        guard let body = read(length) else { return nil }
        return try? JSONDecoder().decode(HostRequest.self, from: Data(body))
    }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var part = [UInt8](repeating: 0, count: count - bytes.count)
            let got = tap_host_read(descriptor, &part, part.count)
            if got < 0 && errno == EINTR { continue }
            guard got > 0 else { return nil }
            bytes += part.prefix(got)
        }
        return bytes
    }
}
