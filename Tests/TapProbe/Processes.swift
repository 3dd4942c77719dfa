// Threads and children.
import Course
import Foundation
import Sockets

let processEntries: [Entry] = [
    .function("pid") { _ in .int(Int(getpid())) },
    .function("forked-calls") { _ in forkedCalls() },
    .function("threads") { try threads($0.int(0), calls: $0.int(1)) },
    .function("fork-in-threads") { try forkInThreads($0.int(0)) },
    .function("block") { _ in try block() },
    .function("child-returns") { _ in childReturns() },
    .function("spawn-inherits") { try spawnInherits($0.string(0)) },
    .function("signals") { _ in signals() },
    .function("calls-in-a-handler") { _ in callsInHandler() },
    .function("leave-descendants") { try leaveDescendants($0.string(0)) },
    .function("children-at-once") { try childrenAtOnce($0.int(0), by: $0.string(1)) },
]

private func forkedCalls() -> Value {
    let child = forkProcess()
    if child == 0 {
        close(socket(AF_INET, SOCK_STREAM, 0))
        let grandchild = forkProcess()
        if grandchild == 0 {
            close(socket(AF_INET6, SOCK_STREAM, 0))
            _exit(0)
        }
        waitpid(grandchild, nil, 0)
        _exit(7)
    }
    var status: Int32 = 0
    waitpid(child, &status, 0)
    return .list([.int(Int(child)), .int(Int(processExitCode(status)))])
}

private func threads(_ count: Int, calls: Int) -> Value {
    let done = DispatchGroup()
    for number in 0..<count {
        done.enter()
        Thread {
            for _ in 0..<calls { shutdown(1000 + Int32(number), SHUT_RD) }
            done.leave()
        }.start()
    }
    done.wait()
    return .none
}

/// Children are forked while other threads make calls: what a child needs of the tap is not locked by any of them.
private func forkInThreads(_ count: Int) -> Value {
    let stop = DispatchSemaphore(value: 0)
    let busy = DispatchGroup()
    for _ in 0..<3 {
        busy.enter()
        Thread {
            while stop.wait(timeout: .now()) == .timedOut {
                var name: [CChar] = [0]
                getsockopt(999, 0, 0, &name, nil)
                _ = dlsym(nil, "no such name")
            }
            busy.leave()
        }.start()
    }
    var good = 0
    for _ in 0..<count {
        let child = forkProcess()
        if child == 0 {
            // One that the tap has not been asked for before, in this process.
            var zero = timespec(tv_sec: 0, tv_nsec: 1)
            nanosleep(&zero, nil)
            close(socket(AF_INET, SOCK_STREAM, 0))
            _exit(5)
        }
        var status: Int32 = 0
        if waitpid(child, &status, 0) == child && processExitCode(status) == 5 { good += 1 }
    }
    for _ in 0..<3 { stop.signal() }
    busy.wait()
    return .int(good)
}

/// Waits for ever for a client.
private func block() throws -> Value {
    let listener = try bound(SOCK_STREAM)
    listen(listener, 5)
    accept(listener, nil, nil)
    return .none
}

private func childReturns() -> Value {
    let child = forkProcess()
    if child == 0 { return .string("from the child") }
    var status: Int32 = 0
    waitpid(child, &status, 0)
    return .int(Int(processExitCode(status)))
}

/// What descriptors a program finds open that this one starts, with a library of its own put before all others.
private func spawnInherits(_ library: String) throws -> Value {
    setenv("LD_PRELOAD", library, 1)
    let words: [UnsafeMutablePointer<CChar>?] =
        [strdup("sh"), strdup("-c"), strdup("ls /proc/self/fd > inherited 2> complaints"), nil]
    var child: pid_t = 0
    let code = posix_spawn(&child, "/bin/sh", nil, nil, words, environ)
    for word in words { free(word) }
    guard code == 0 else { throw SocketError("posix_spawn", code) }
    waitpid(child, nil, 0)
    return .string(try String(contentsOfFile: "inherited", encoding: .utf8))
}

/// Which signals are not at their default, which are blocked, and the process group.
private func signals() -> Value {
    var changed: [Value] = []
    for number in 1..<Int32(32) where number != SIGKILL && number != SIGSTOP {
        var old = sigaction()
        sigaction(number, nil, &old)
        // Swift's own handlers, for the backtrace of a crash.
        if [SIGQUIT, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP].contains(number) { continue }
        if unsafeBitCast(old.__sigaction_handler.sa_handler, to: Int.self) != 0 { changed.append(.int(Int(number))) }
    }
    var blocked = sigset_t()
    sigprocmask(SIG_BLOCK, nil, &blocked)
    for number in 1..<Int32(32) where sigismember(&blocked, number) == 1 { changed.append(.int(-Int(number))) }
    return .list([.list(changed), .int(Int(getpgrp())), .int(Int(getpid()))])
}

private func callsInHandler() -> Value {
    signal(SIGALRM) { _ in shutdown(888, SHUT_RD) }
    var time = itimerval()
    time.it_interval.tv_usec = 50
    time.it_value.tv_usec = 50
    setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &time, nil)
    for _ in 0..<400 { shutdown(777, SHUT_WR) }
    time = itimerval()
    setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &time, nil)
    return .none
}

/// Leaves processes behind that try to get away; says their numbers.
func leaveDescendants(_ way: String) throws -> Value {
    var numbers: [Int32] = [-1, -1]
    pipe(&numbers)
    let child = forkProcess()
    if child == 0 {
        if way.contains("setsid") { setsid() }
        for _ in 0..<3 where forkProcess() == 0 {
            if way.contains("setsid") { setsid() }
            var number = getpid()
            write(numbers[1], &number, 4)
            signal(SIGTERM, SIG_IGN)
            while true { pause() }
        }
        if way.contains("double") { _exit(0) }
        while true { pause() }
    }
    close(numbers[1])
    var found: [Value] = [.int(Int(child))]
    var number: Int32 = 0
    for _ in 0..<3 where read(numbers[0], &number, 4) == 4 { found.append(.int(Int(number))) }
    if way.contains("double") { waitpid(child, nil, 0) }
    return .list(found)
}

/// Starts children until no more can be started; how many there were, and which error came then.
private func childrenAtOnce(_ most: Int, by way: String) throws -> Value {
    var started = 0
    var code: Int32 = 0
    while started < most && code == 0 {
        if way == "fork" {
            let child = forkProcess()
            if child == 0 { while true { pause() } }
            if child == -1 { code = errno } else { started += 1 }
        } else {
            var child: pid_t = 0
            let words: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("1000"), nil]
            code = posix_spawn(&child, "/bin/sleep", nil, nil, words, environ)
            for word in words { free(word) }
            if code == 0 { started += 1 }
        }
    }
    return .list([.int(started), .int(Int(code))])
}
