// posix_spawn(3), with a clean start for the child: no signal ignored or blocked, no descriptor but those given.
import Course
import Foundation
import Sockets

struct SpawnActions {
    private enum Action {
        case open(Int32, String, Int32)
        case duplicate(Int32, Int32)
    }

    private var actions: [Action] = []
    /// Nil: ours.
    var environment: [String: String]?

    mutating func open(_ descriptor: Int32, _ path: String, _ flags: Int32) {
        actions.append(.open(descriptor, path, flags))
    }
    mutating func duplicate(_ descriptor: Int32, to other: Int32) { actions.append(.duplicate(descriptor, other)) }

    /// Starts `program`, found in PATH.
    func spawn(_ program: String, _ arguments: [String], group: Bool) throws(CommandError) -> pid_t {
        // Who ignores SIGCHLD gets no exit code of any child (waitpid(2)), and to ignore it is handed down by exec.
        signal(SIGCHLD, SIG_DFL)
        var fileActions = emptyFileActions
        posix_spawn_file_actions_init(&fileActions)
        defer { posix_spawn_file_actions_destroy(&fileActions) }
        for action in actions {
            switch action {
            case .open(let descriptor, let path, let flags):
                posix_spawn_file_actions_addopen(&fileActions, descriptor, path, flags, 0)
            case .duplicate(let from, let to): posix_spawn_file_actions_adddup2(&fileActions, from, to)
            }
        }
        var attributes = emptySpawnAttributes
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        var none = sigset_t()
        sigfillset(&all)
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        var flags = Int32(POSIX_SPAWN_SETSIGDEF) | Int32(POSIX_SPAWN_SETSIGMASK)
        if group {
            posix_spawnattr_setpgroup(&attributes, 0)
            flags |= Int32(POSIX_SPAWN_SETPGROUP)
        }
        posix_spawnattr_setflags(&attributes, Int16(flags))

        var words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var variables = environment.map { $0.map { strdup("\($0.key)=\($0.value)") } + [nil] } ?? []
        defer { for variable in variables { free(variable) } }
        var process: pid_t = 0
        let code =
            environment == nil
            ? posix_spawnp(&process, program, &fileActions, &attributes, &words, environ)
            : posix_spawnp(&process, program, &fileActions, &attributes, &words, &variables)
        guard code == 0 else {
            throw .failure(
                say("\(program) cannot be run: \(errorText(code)).", "运行不了 \(program)：\(errorText(code))。"))
        }
        return process
    }
}
