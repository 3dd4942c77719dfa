// The real calls, past the tap: what a program can do that sets out to cheat. RTLD_NEXT is -1 (dlfcn.h).
import Sockets

private func real<Function>(_ name: String, as type: Function.Type) -> Function {
    unsafeBitCast(dlsym(UnsafeMutableRawPointer(bitPattern: -1), name), to: type)
}

typealias Move = @convention(c) (Int32, UnsafeRawPointer?, Int, Int32) -> Int
typealias Write = @convention(c) (Int32, UnsafeRawPointer?, Int) -> Int
typealias Signal = @convention(c) (pid_t, Int32) -> Int32
typealias Wait = @convention(c) (pid_t, UnsafeMutablePointer<Int32>?, Int32) -> pid_t
typealias Close = @convention(c) (Int32) -> Int32
typealias Make = @convention(c) (Int32, Int32, Int32) -> Int32

nonisolated(unsafe) let hiddenSend = real("send", as: Move.self)
nonisolated(unsafe) let hiddenWrite = real("write", as: Write.self)
nonisolated(unsafe) let hiddenKill = real("kill", as: Signal.self)
nonisolated(unsafe) private let realWait = real("waitpid", as: Wait.self)
nonisolated(unsafe) let hiddenClose = real("close", as: Close.self)
nonisolated(unsafe) let hiddenSocket = real("socket", as: Make.self)

@discardableResult
func hiddenWait(_ process: pid_t, _ status: UnsafeMutablePointer<Int32>?, _ options: Int32) -> pid_t {
    realWait(process, status, options)
}
