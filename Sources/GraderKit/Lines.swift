/// The lines between a grader and a lesson process: both ends of each until the process is started, ours afterwards.
import Sockets

struct Lines {
    let control: Int32
    let lifeline: Int32
    let tap: Int32
    let printed: Int32
    private let theirs: (control: Int32, lifeline: Int32, tap: Int32, printed: Int32)

    init() throws {
        var made: [Int32] = []
        do {
            let control = try closeOnExecSocketPair()
            made += [control.ours, control.theirs]
            let lifeline = try closeOnExecSocketPair()
            made += [lifeline.ours, lifeline.theirs]
            let tap = try closeOnExecPipe()
            made += [tap.reader, tap.writer]
            let printed = try closeOnExecPipe()
            self.control = control.ours
            self.lifeline = lifeline.ours
            self.tap = tap.reader
            self.printed = printed.reader
            theirs = (control.theirs, lifeline.theirs, tap.writer, printed.writer)
        } catch {
            for descriptor in made { close(descriptor) }
            throw error
        }
        // The program must never wait for its grader to read what the tap says.
        _ = fcntl(theirs.tap, F_SETFL, O_NONBLOCK)
        enlarge(theirs.tap)
    }

    /// Starts the program with its ends of the lines, which are closed here whether that succeeds or not.
    ///
    /// - Parameter top: the lab's own descriptors have the numbers below this one.
    func spawn(_ program: Program, environment: [String], top: Int32) throws -> pid_t {
        defer { for descriptor in [theirs.control, theirs.lifeline, theirs.tap, theirs.printed] { close(descriptor) } }
        let nothing = try check("open", open("/dev/null", O_RDONLY | O_CLOEXEC))
        defer { close(nothing) }
        return try GraderKit.spawn(
            program.executable, program.arguments, environment: environment,
            descriptors: [
                (0, nothing), (1, theirs.printed), (2, theirs.printed), (top - 1, theirs.control),
                (top - 2, theirs.tap), (top - 3, theirs.lifeline),
            ])
    }

    func closeOurs() { for descriptor in [control, lifeline, tap, printed] { close(descriptor) } }
}
