// What went wrong in a demo, in one clear sentence each, with what to do.
import Course
import GraderKit
import Sockets

enum Complaint {
    static func cannotServe(
        _ call: String, _ code: Int32, _ description: String, host: String, port: UInt16
    ) -> CommandError {
        switch code {
        case EADDRINUSE where host.hasPrefix("/"):
            return .failure(
                say(
                    "\(host) is taken: a server listens there, or it is no socket. Choose another with --path.",
                    "\(host) 已被占用：那里有服务器在监听，或者它不是套接字。请用 --path 换一个。"))
        case ENAMETOOLONG:
            return .failure(
                say(
                    "The path has \(host.utf8.count) bytes, and a Unix socket's has at most 107: choose a shorter one with "
                        + "--path.",
                    "路径有 \(host.utf8.count) 字节，而 Unix 套接字的路径最多 107 字节：请用 --path 换一个短的。"))
        case EADDRINUSE:
            return .failure(
                say(
                    "Port \(port) of \(host) is taken by another program: choose another with --port, or --port 0 to let "
                        + "the system choose.",
                    "\(host) 的端口 \(port) 已被别的程序占用：请用 --port 换一个，或者用 --port 0 让系统选择。"))
        case EADDRNOTAVAIL:
            return .failure(
                say(
                    "\(host) is not an address of this machine: a server can only bind one that is.",
                    "\(host) 不是本机的地址：服务器只能绑定本机的地址。"))
        case EACCES where call == "bind":
            return .failure(
                say(
                    "Port \(port) is reserved for the administrator: choose one from 1024 up.",
                    "端口 \(port) 只有管理员能用：请选择 1024 以上的端口。"))
        case EAFNOSUPPORT:
            return .failure(
                say("This machine does not have the address family of \(host).", "这台机器不支持 \(host) 的地址族。"))
        default: return .failure(say("The server cannot start: \(description)", "服务器无法启动：\(description)"))
        }
    }

    static func notStarted(_ place: Place) -> CommandError {
        let file = (try? Workspace.find())?.relative(place.file) ?? place.file
        let step = place.step.isEmpty ? "" : " (\(place.step))"
        return CommandError(
            .notPassed,
            say(
                "Your exercise is not started: open \(file):\(place.line)\(step), or leave out --mine to see the reference.",
                "练习还没有开始：请打开 \(file):\(place.line)\(step)，或者去掉 --mine 看参考实现。"))
    }

    /// Why a server is gone.
    static func ended(_ server: Subject) -> CommandError {
        guard let crash = server.crash, !crash.reason.isEmpty else { return ended(server.hasEnded) }
        guard let place = crash.place else {
            return CommandError(
                .notPassed, say("The server has crashed: \(crash.reason).", "服务器崩溃了：\(crash.reason)。"))
        }
        let line = "\((try? Workspace.find())?.relative(place.file) ?? place.file):\(place.line)"
        return CommandError(
            .notPassed,
            say("The server has crashed: \(crash.reason), at \(line).", "服务器崩溃了：\(crash.reason)，在 \(line)。"))
    }

    static func ended(_ ending: Subject.Ending?) -> CommandError {
        let how: String
        switch (ending?.signal, ending?.code) {
        case (let signal?, _):
            how = say("signal \(signal) (\(signalText(signal)))", "信号 \(signal)（\(signalText(signal))）")
        case (nil, let code?): how = say("exit code \(code)", "退出码 \(code)")
        case (nil, nil): how = say("its function came back", "它的函数返回了")
        }
        return CommandError(.notPassed, say("The program has ended: \(how).", "程序已经结束：\(how)。"))
    }

    private static func signalText(_ number: Int32) -> String { strsignal(number).map { String(cString: $0) } ?? "" }

    /// Why a line had no answer.
    static func noAnswer(_ outcome: PendingCall.Outcome, _ server: Endpoint) -> String {
        guard case .threw(let type, let name, let code, let description) = outcome else {
            return say("The client returned \(outcome.text).", "客户端返回了 \(outcome.text)。")
        }
        let place = server.host.hasPrefix("/") ? server.host : "\(server.host):\(server.port)"
        switch (type, code) {
        case ("SocketError", ECONNREFUSED):
            return say(
                "Nobody listens on \(place) (\(name): ECONNREFUSED).", "\(place) 上没有程序在监听（\(name)：ECONNREFUSED）。")
        case ("SocketError", ECONNRESET), ("SocketError", EPIPE):
            return say(
                "The server broke off the connection (\(name): \(errorName(code))).",
                "服务器中断了连接（\(name)：\(errorName(code))）。")
        case ("SocketError", EMSGSIZE):
            return say(
                "This line is too long for a datagram: 65,507 bytes over IPv4.", "这一行放不进一个数据报：IPv4 上最多 65507 字节。")
        case ("RequestError", _): return say("No answer from \(place).", "\(place) 没有回答。")
        case ("StreamError", _):
            return say("The server ended the connection before its answer was whole.", "回答还没收全，服务器就结束了连接。")
        case ("FramingError", _):
            return say("The answer is not in frames: \(description).", "回答不是帧：\(description)。")
        default: return say("The client gave up: \(description)", "客户端放弃了：\(description)")
        }
    }
}
