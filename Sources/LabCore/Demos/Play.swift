/// One run of a demo: whose programs it starts, where, and what it says.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

final class Play: @unchecked Sendable {
    let demo: Demo
    let options: DemoOptions
    let screen: DemoScreen
    let stage: Stage
    let title: String
    /// How much of what the student's server printed has been shown (Characters).
    var toldOutput = 0
    private let executable: String
    private let mine: String?

    init(
        demo: Demo, options: DemoOptions, screen: DemoScreen, stage: Stage, executable: String, mine: String?,
        title: String
    ) {
        self.demo = demo
        self.options = options
        self.screen = screen
        self.stage = stage
        self.executable = executable
        self.mine = mine
        self.title = title
    }

    /// A demo that answers lines draws for a person only; one that shows something always does.
    static func draws(_ demo: Demo, _ options: DemoOptions, _ screen: DemoScreen) -> Bool {
        guard !options.quiet else { return false }
        if options.serve { return screen.outputIsTerminal }
        if options.client != nil { return screen.isInteractive }
        return demo.isShow || screen.isInteractive
    }

    // MARK: Programs

    /// The lab's own programs for demos (`DemoProgram`).
    var helper: Program { .hosted(DemoProgram.slug, by: executable) }
    /// What the demo is about: the reference's, or the student's.
    var subject: Program {
        mine.map { Program.standalone($0) } ?? .hosted(demo.lesson, by: executable)
    }
    func reference(_ slug: String) -> Program { .hosted(slug, by: executable) }

    var host: String { options.host }
    var port: UInt16 { options.port ?? demo.port ?? 0 }
    /// Whose server or client it is, for the heading.
    var author: String { options.mine ? say("yours", "你的") : say("reference", "参考实现") }

    /// Starts a server and waits until it can be reached.
    ///
    /// - Parameter folder: where it starts; the demo's own folder unless told otherwise.
    func serve(
        _ program: Program, _ entry: String, host: String, port: UInt16, plan: FaultPlan = .none, folder: String? = nil,
        isWatched: Bool = true
    ) throws -> DemoServer {
        let subject = try stage.start(program, .right, plan: plan, folder: folder, isWatched: isWatched)
        return DemoServer(
            subject: subject,
            address: try reached(try subject.startServing(entry, host: host, port: port), subject, host, port))
    }

    /// The address that a program serves at, or why it does not.
    func reached(
        _ serving: Subject.Serving, _ subject: Subject, _ host: String, _ port: UInt16
    ) throws -> SocketAddress {
        switch serving {
        case .at(let address): return address
        case .stopped(.threw(_, let name, let code, let description)):
            throw Complaint.cannotServe(name, code, description, host: host, port: port)
        case .stopped(.returned):
            throw CommandError(
                .notPassed,
                say(
                    "The server's function returned, without having bound a socket.",
                    "服务器函数返回了，却没有绑定过套接字。"))
        case .late:
            let waiting = subject.timeline.blocked.map(\.callText).joined(separator: ", ")
            throw CommandError(
                .notPassed,
                say("The server has not bound a socket", "服务器始终没有绑定套接字")
                    + (waiting.isEmpty ? say(".", "。") : say(": it waits in \(waiting).", "：它阻塞在 \(waiting)。")))
        }
    }

    // MARK: Saying

    /// The first lines that a person sees.
    func introduce(_ text: String, gap: Bool = true) {
        guard stage.draws else { return }
        screen.print(
            (StyledText(demo.id, .strong) + StyledText("  " + title)).wrapped(to: screen.textWidth, hanging: 2))
        if !text.isEmpty { screen.print(text, .quiet) }
        if gap { screen.print([StyledText()]) }
    }

    func step(_ text: String) {
        guard stage.draws else { return }
        screen.print([StyledText()])
        screen.print(text, .strong)
    }

    /// Between two steps a person may look, and talk.
    func pause() {
        guard screen.isInteractive, stage.draws else { return }
        _ = screen.readLine(prompt: say("⏎ ", "⏎ "))
    }

    // MARK: Errors

    /// Any error of a demo as one clear sentence.
    func explained(_ error: any Error) -> CommandError {
        switch error {
        case let error as CommandError: return error
        case LiveError.notStarted(let place): return Complaint.notStarted(place)
        case LiveError.ended(let ending): return Complaint.ended(ending)
        case let error as SocketError:
            return Complaint.cannotServe(error.call, error.code, "\(error)", host: host, port: port)
        default: return .failure("\(error)")
        }
    }
}

struct DemoServer {
    var subject: Subject
    var address: SocketAddress

    /// Where a client of this machine finds it: one that is bound to all addresses is reached over loopback.
    var reachable: Endpoint { DemoServer.reachable(address) }

    /// SIGTERM; a server that does not come back soon is not waited for.
    func askToEnd() {
        subject.signal(SIGTERM)
        // It ends the wait by coming back, or by ending.
        _ = try? subject.waitForLive(until: Deadline(in: 2)) { _ in nil as Bool? }
    }

    static func reachable(_ address: SocketAddress) -> Endpoint {
        switch address.host {
        case "0.0.0.0": return Endpoint(host: "127.0.0.1", port: address.port)
        case "::": return Endpoint(host: "::1", port: address.port)
        default: return Endpoint(host: address.host, port: address.port)
        }
    }
}
