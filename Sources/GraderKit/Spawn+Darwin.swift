// Starting a lesson process, and descriptors that no other process inherits, with what macOS has for it. Not run there yet.
#if canImport(Darwin)
import Darwin
import Sockets

func closeOnExecPipe() throws -> (reader: Int32, writer: Int32) {
    var ends: [Int32] = [-1, -1]
    try check("pipe", pipe(&ends))
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

func closeOnExecSocketPair() throws -> (ours: Int32, theirs: Int32) {
    var ends: [Int32] = [-1, -1]
    try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, &ends))
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

/// A socket that no program started later inherits, and that raises no SIGPIPE.
public func closeOnExecSocket(_ family: Int32, _ type: Int32) throws -> Int32 {
    let descriptor = try check("socket", socket(family, type, 0))
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    raiseNoSignal(descriptor)
    return descriptor
}

/// The next connection, or -1 and errno: accept(2); no program started later inherits it, and it raises no SIGPIPE.
public func acceptCloseOnExec(_ listener: Int32) -> Int32 {
    let descriptor = accept(listener, nil, nil)
    guard descriptor >= 0 else { return descriptor }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    // It inherits O_NONBLOCK from its listener, which it does not on Linux.
    _ = fcntl(descriptor, F_SETFL, 0)
    raiseNoSignal(descriptor)
    return descriptor
}

private func raiseNoSignal(_ descriptor: Int32) {
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_NOSIGPIPE, &yes, socklen_t(MemoryLayout<Int32>.size))
}

/// The system decides how much a pipe holds.
func enlarge(_ pipe: Int32) {}

/// Starts a detached thread, pthread_create(3); returns 0, or what is wrong.
func createThread(stackSize: Int, _ body: @escaping @Sendable () -> Void) -> Int32 {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, stackSize)
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED)
    var thread: pthread_t?
    let passed = ThreadBody(body).passed
    let failure = pthread_create(
        &thread, &attributes,
        { pointer in
            ThreadBody.run(pointer)
            return nil
        }, passed)
    if failure != 0 { ThreadBody.drop(passed) }
    return failure
}

/// How many descriptors a process may have: setrlimit(2), RLIMIT_NOFILE.
public func descriptorTableSize() -> UInt {
    var limits = rlimit()
    getrlimit(RLIMIT_NOFILE, &limits)
    return UInt(clamping: limits.rlim_cur)
}

/// How many descriptors this user may have at most. Asking for it raises the process's own limit that far, for graders
/// that play hundreds of clients.
let mostDescriptors: UInt = {
    var limits = rlimit()
    getrlimit(RLIMIT_NOFILE, &limits)
    // More than OPEN_MAX is refused, whatever the hard limit says.
    limits.rlim_cur = min(limits.rlim_max, rlim_t(OPEN_MAX))
    setrlimit(RLIMIT_NOFILE, &limits)
    return UInt(clamping: limits.rlim_cur)
}()

/// Starts a program in a process group of its own, with default signals.
///
/// - Parameter descriptors: what it shall have open: its number there, and ours.
func spawn(
    _ path: String, _ arguments: [String], environment: [String], descriptors: [(number: Int32, ours: Int32)]
) throws -> pid_t {
    var attributes: posix_spawnattr_t?
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var all = sigset_t()
    sigfillset(&all)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
        &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

    var actions: posix_spawn_file_actions_t?
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // A descriptor of ours that has a number which an earlier dup2 takes in the child would be lost: move it away.
    let numbers = Set(descriptors.map(\.number))
    var moved: [Int32] = []
    defer { for descriptor in moved { close(descriptor) } }
    for (number, ours) in descriptors {
        var source = ours
        while numbers.contains(source) && number != source {
            source = try check("fcntl", fcntl(source, F_DUPFD_CLOEXEC, source + 1))
            moved.append(source)
        }
        posix_spawn_file_actions_adddup2(&actions, source, number)
    }

    let words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
    let variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    defer { for pointer in words + variables { free(pointer) } }
    var process: pid_t = 0
    let failure = askedAgain { posix_spawn(&process, path, &actions, &attributes, words, variables) }
    guard failure == 0 else { throw SocketError("posix_spawn(\(path))", failure) }
    return process
}
#endif
