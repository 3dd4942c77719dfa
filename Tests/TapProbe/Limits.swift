// Programs that take more than a program may.
import Course
import Foundation
import Sockets

let limitEntries: [Entry] = [
    .function("allocate") { _ in allocate() },
    .function("allocate-in-children") { _ in allocateInChildren() },
    .function("shared-in-children") { try sharedInChildren($0.int(0)) },
    .function("print-for-ever") { _ in while true { write(1, String(repeating: "spam\n", count: 10_000), 50_000) } },
    .function("print") { arguments in
        print(try arguments.string(0))
        return .none
    },
    .function("large-file") { _ in
        let file = open("large", O_RDWR | O_CREAT, 0o600)
        return .int(ftruncate(file, 3 << 30) == 0 ? 1 : 0)
    },
    .function("threads-without-end") { _ in
        while true { Thread { while true { pause() } }.start() }
    },
    .function("spin-in-calls") { _ in
        var buffer: [UInt8] = [0]
        while true { recv(777, &buffer, 1, 0) }
    },
    .function("spin-in-calls-for") { try spinInCalls($0.int(0)) },
    .function("spin") { _ in while true {} },
    .function("hang") { _ in while true { pause() } },
    .function("descriptors") { try descriptors($0.int(0)) },
    .function("cpu-limit") { _ in
        // The real limit takes five minutes of CPU; this is what the kernel does then.
        kill(getpid(), SIGXCPU)
        return .none
    },
]

private func allocate() -> Value {
    var size = 1 << 20
    while true {
        // Touched, or it would take no memory.
        memset(malloc(size), 1, size)
        size = 16 << 20
    }
}

/// No process of it takes much, all together take too much.
private func allocateInChildren() -> Value {
    for _ in 0..<20 where forkProcess() == 0 {
        memset(malloc(80 << 20), 1, 80 << 20)
        while true { pause() }
    }
    while true { pause() }
}

/// Each process has it resident, and yet it is there once only.
private func sharedInChildren(_ count: Int) -> Value {
    let size = 100 << 20
    memset(malloc(size), 1, size)
    var children: [pid_t] = []
    for _ in 0..<count {
        let child = forkProcess()
        if child == 0 { while true { pause() } }
        children.append(child)
    }
    // Five samples of the supervisor's.
    usleep(300_000)
    for child in children { kill(child, SIGKILL) }
    var ended = 0
    for child in children where waitpid(child, nil, 0) == child { ended += 1 }
    return .int(ended)
}

/// How many calls it could make meanwhile: nothing holds it up.
private func spinInCalls(_ milliseconds: Int) -> Value {
    var buffer: [UInt8] = [0]
    var start = timespec()
    clock_gettime(CLOCK_MONOTONIC, &start)
    var count = 0
    while true {
        for _ in 0..<1000 { recv(777, &buffer, 1, 0) }
        count += 1000
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        if (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1_000_000 >= milliseconds {
            return .int(count)
        }
    }
}

/// Opens descriptors until there are no more; how many, the first, and the error.
private func descriptors(_ most: Int) -> Value {
    var opened: [Int32] = []
    var code: Int32 = 0
    while opened.count < most && code == 0 {
        let descriptor = socket(AF_INET, SOCK_DGRAM, 0)
        if descriptor == -1 { code = errno } else { opened.append(descriptor) }
    }
    return .list([.int(opened.count), .int(Int(opened.first ?? -1)), .int(Int(code))])
}
