// Programs that attack the lab, by accident or on purpose.
import Course
import Foundation
import Sockets

let hostileEntries: [Entry] = [
    .function("exit") { exit(Int32(try $0.int(0))) },
    .function("todo") { _ in todo("step 3: not yet") },
    .function("close-everything") { arguments in
        for descriptor in 0..<Int32(1024) { _ = close(descriptor) }
        return .int(try arguments.int(0) + 1)
    },
    .function("close-range") { arguments in
        _ = closeRange(3, UInt32.max, 0)
        closeFrom(3)
        return .int(try arguments.int(0) + 1)
    },
    .function("replace-everything") { arguments in
        let file = open("/dev/null", O_RDWR)
        for descriptor in 3..<Int32(1024) where descriptor != file { _ = dup2(file, descriptor) }
        return .int(try arguments.int(0) + 1)
    },
    .function("write-everywhere") { try writeEverywhere($0.string(0)) },
    .function("write-past-the-tap") { try writePastTheTap($0.bytes(0)) },
    .function("read-everywhere") { _ in readEverywhere() },
    .function("kill-parent") { try killParent($0.int(0), pastTheTap: $0.bool(1)) },
    .function("kill-parent-and-leave") { arguments in
        let left = try leaveDescendants("setsid")
        print(left)
        _ = hiddenKill(getppid(), SIGKILL)
        while true { pause() }
    },
    .function("trace-parents") { _ in traceParents() },
    .function("patch-the-tap") { _ in try patchTheTap() },
    .function("preload-in-children") { _ in
        setenv("LD_PRELOAD", "/nowhere.so", 1)
        while true { system("true 2>/dev/null") }
    },
    .function("kill-everybody") { _ in .int(kill(-1, SIGKILL) == -1 ? Int(errno) : 0) },
    .function("fork-bomb") { _ in while true { _ = forkProcess() } },
    .function("fork-bomb-setsid") { _ in
        while true { if forkProcess() == 0 { _ = setsid() } }
    },
    .function("become-leader") { arguments in
        // Leaves the group that the supervisor ends.
        let child = forkProcess()
        if child == 0 {
            setpgid(0, 0)
            while true { pause() }
        }
        // From here too, as shells do: whichever process runs first, the child has its group before it is joined.
        setpgid(child, child)
        setpgid(0, child)
        return .list([.int(Int(getpgrp())), .int(Int(child))])
    },
    .function("fill-the-control-line") { _ in
        let garbage = [UInt8](repeating: 0x7f, count: 65_536)
        while true { for descriptor in 3..<Int32(1024) { _ = hiddenWrite(descriptor, garbage, garbage.count) } }
    },
    .function("ignore-signals") { _ in
        for number in 1..<Int32(32) { signal(number, SIG_IGN) }
        while true { pause() }
    },
    .function("spray") { try spray(port: UInt16($0.int(0))) },
    .server("todo-server") { host, port in
        let listener = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
        let address = try SocketAddress(host: host, port: port)
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 5))
        _ = accept(listener, nil, nil)
        todo("step 4: answer")
    },
]

/// By the program's own calls, and through a library. How many took it.
private func writeEverywhere(_ text: String) throws -> Value {
    var taken = 0
    for descriptor in 3..<Int32(1024) {
        if write(descriptor, text, text.utf8.count) > 0 { taken += 1 }
        if send(descriptor, text, text.utf8.count, MSG_NOSIGNAL) > 0 { taken += 1 }
        if (try? FileHandle(fileDescriptor: descriptor).write(contentsOf: Data(text.utf8))) != nil { taken += 1 }
    }
    return .int(taken)
}

private func writePastTheTap(_ bytes: [UInt8]) throws -> Value {
    for descriptor in 3..<Int32(1024) { _ = hiddenWrite(descriptor, bytes, bytes.count) }
    while true { pause() }
}

/// Takes whatever the grader has to say to the host away from it.
private func readEverywhere() -> Value {
    var taken = 0
    var buffer = [UInt8](repeating: 0, count: 100)
    for descriptor in 3..<Int32(1024) {
        if recv(descriptor, &buffer, 100, MSG_DONTWAIT) >= 0 { taken += 1 }
        if fcntl(descriptor, F_GETFD) != -1 { taken += 1 }
        var waiting: Int32 = 0
        if ioctl(descriptor, UInt(FIONREAD), &waiting) != -1 { taken += 1 }
        if dup(descriptor) != -1 { taken += 1 }
    }
    return .int(taken)
}

private func killParent(_ number: Int, pastTheTap: Bool) throws -> Value {
    let result = pastTheTap ? hiddenKill(getppid(), Int32(number)) : kill(getppid(), Int32(number))
    return .int(result == -1 ? Int(errno) : 0)
}

/// Datagrams to a port of the grader's that was never told to this program.
private func spray(port: UInt16) throws -> Value {
    let descriptor = socket(AF_INET, SOCK_DGRAM, 0)
    let address = try SocketAddress(host: "127.0.0.1", port: port)
    for _ in 0..<3 { _ = address.withSockaddr { sendto(descriptor, "SPRAY", 5, 0, $0, $1) } }
    return .none
}

/// Which ways lead into the memory of its supervisor and its grader: their names.
private func traceParents() -> Value {
    typealias Trace = @convention(c) (Int, Int, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Int
    typealias Peek = @convention(c) (pid_t, UnsafePointer<iovec>, UInt, UnsafePointer<iovec>, UInt, UInt) -> Int
    let trace = unsafeBitCast(dlsym(nil, "ptrace"), to: Trace.self)
    let peek = unsafeBitCast(dlsym(nil, "process_vm_readv"), to: Peek.self)
    let attach = 16
    let stat = (try? String(contentsOfFile: "/proc/\(getppid())/stat", encoding: .utf8)) ?? ""
    let grader = stat.split(separator: " ").dropFirst(3).first.flatMap { pid_t($0) } ?? 0
    var ways: [String] = []
    for (name, process) in [("supervisor", getppid()), ("grader", grader)] {
        if trace(attach, Int(process), nil, nil) == 0 { ways.append("ptrace \(name)") }
        let memory = open("/proc/\(process)/mem", O_RDWR)
        if memory >= 0 { ways.append("mem of \(name)") }
        var byte: UInt8 = 0
        withUnsafeMutablePointer(to: &byte) { byte in
            var ours = iovec(iov_base: byte, iov_len: 1)
            var theirs = iovec(iov_base: UnsafeMutableRawPointer(bitPattern: 0x1000), iov_len: 1)
            // EFAULT: there is nothing at that place, but it looked.
            if peek(process, &ours, 1, &theirs, 1, 0) >= 0 || errno != EPERM {
                ways.append("read \(name): \(errno)")
            }
        }
    }
    return .list([.int(Int(grader))] + ways.map { .string($0) })
}

/// Writes over the first bytes of the tap's send: nothing is recorded any more.
private func patchTheTap() throws -> Value {
    let page = sysconf(Int32(_SC_PAGESIZE))
    guard let tap = dlsym(nil, "send") else { return .none }
    let start = UInt(bitPattern: tap) & ~UInt(page - 1)
    let pages = UnsafeMutableRawPointer(bitPattern: start)
    guard mprotect(pages, 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC) == 0 else { return .int(Int(errno)) }
    memset(tap, 0, 16)
    return .string("patched")
}

@_silgen_name("close_range") private func closeRange(_ first: UInt32, _ last: UInt32, _ flags: Int32) -> Int32
@_silgen_name("closefrom") private func closeFrom(_ first: Int32)
