// A server, a client, and lines from a person or a pipe: the course of every demo that answers lines.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Play {
    /// What a conversation is between.
    struct Conversation {
        /// Of the columns: `connected-client`.
        var clientName: String
        var serverName: String
        /// A server of a contract; nil where the demo is only a client.
        var server: (program: Program, entry: String)?
        /// Where that server starts; nil: in the demo's own folder.
        var folder: String?
        var makeClient: (Endpoint) -> any DemoClient
        /// What a person should know before the first line.
        var hint: String
        /// A line to begin with before a person.
        var example: String?
        /// What is shown after it.
        var afterExample: (() throws -> Void)?
        /// What others may use as a client: `nc -u 127.0.0.1 12000`.
        var others: (Endpoint) -> [String]
        /// Explains an exchange below its drawing.
        var explain: ((_ line: [UInt8], _ answers: [[UInt8]]) -> [StyledText])?
        /// The server has a file that it removes when it is asked to end, and not when it is killed.
        var removesFile = false
    }

    func converse(_ conversation: Conversation) throws {
        if options.serve { return try serveOnly(conversation) }
        var running: DemoServer?
        let endpoint: Endpoint
        if let client = options.client {
            endpoint = client
        } else if let server = conversation.server {
            introduce(conversation.hint)
            stage.heading(left: conversation.clientName, right: conversation.serverName)
            let started = try serve(
                server.program, server.entry, host: host, port: port, folder: conversation.folder)
            if conversation.removesFile { stage.atEnd { started.askToEnd() } }
            stage.settle()
            (running, endpoint) = (started, started.reachable)
            tellOthers(conversation.others(endpoint), at: started.address)
        } else {
            endpoint = Endpoint(host: host, port: port)
        }
        if running == nil {
            introduce(conversation.hint)
            stage.heading(left: conversation.clientName, right: endpoint.written)
        }
        let client = conversation.makeClient(endpoint)
        try starting(client)
        if let example = conversation.example, stage.draws {
            try answer(Array(example.utf8), client, conversation, running)
            if running != nil { try conversation.afterExample?() }
        }
        while let line = screen.readLine(prompt: client.prompt) { try answer(line, client, conversation, running) }
        do { try client.finish() } catch let failure as NoAnswer { screen.complain(failure.text) }
        stage.settle(showsWaiting: false)
        try complainIfEnded(running)
    }

    private func starting(_ client: any DemoClient) throws {
        do { try client.start() } catch let failure as NoAnswer { throw CommandError.failure(failure.text) }
        stage.settle()
    }

    private func answer(
        _ line: [UInt8], _ client: any DemoClient, _ conversation: Conversation, _ server: DemoServer?
    ) throws {
        try complainIfEnded(server)
        do {
            let answers = try client.ask(line)
            stage.settle()
            if stage.draws, let explain = conversation.explain { screen.print(explain(line, answers)) }
            for answer in answers { screen.answer(answer) }
        } catch let failure as NoAnswer {
            stage.settle()
            // It may be crashing, and Swift still writing its report.
            if options.mine { _ = server?.subject.waitForEnding(until: Deadline(in: 0.5)) }
            try complainIfEnded(server)
            let text = failure.text + whatYoursDoes(server)
            // A person sees it and goes on; a script would take the next answer for this line's.
            guard screen.isInteractive else { throw CommandError(failure.exit, text) }
            screen.complain(text)
        }
        tellOutput(server)
    }

    /// Where the student's server waits instead of answering.
    private func whatYoursDoes(_ server: DemoServer?) -> String {
        guard options.mine, let call = server?.subject.timeline.blocked.last?.callText else { return "" }
        return say(" Your server waits in \(call).", "你的服务器阻塞在 \(call)。")
    }

    private func complainIfEnded(_ server: DemoServer?) throws {
        guard let server else { return }
        stage.parkIfStopping()
        if let place = server.subject.reachedTodo { throw Complaint.notStarted(place) }
        if let outcome = server.subject.outcomeOfServer {
            throw CommandError(
                .notPassed, say("The server has stopped: it \(outcome.text).", "服务器停止了：它\(outcome.text)。"))
        }
        if server.subject.hasEnded != nil {
            tellOutput(server)
            throw Complaint.ended(server.subject)
        }
    }

    /// What the student's server printed since the last time.
    private func tellOutput(_ server: DemoServer?) {
        guard options.mine, let server else { return }
        let text = server.subject.studentOutput
        guard text.count > toldOutput else { return }
        let new = String(text.dropFirst(toldOutput))
        toldOutput = text.count
        for line in visibleLines(new) where !line.isEmpty {
            screen.complain(say("your server printed: \(line)", "你的服务器打印了：\(line)"))
        }
    }

    private func tellOthers(_ others: [String], at address: SocketAddress) {
        guard stage.draws, screen.isInteractive else { return }
        screen.print([StyledText()])
        listClients(say("Others may come too: ", "其他程序也可以来："), others)
        screen.print(say("Ctrl-D ends.", "按 Ctrl-D 结束。"), .quiet)
        screen.print([StyledText()])
    }

    private func listClients(_ lead: String, _ clients: [String]) {
        for (index, client) in clients.enumerated() {
            let start = index == 0 ? lead : String(repeating: " ", count: displayWidth(lead))
            screen.print([StyledText(start, .quiet) + StyledText(client, .code)])
        }
    }

    // MARK: --serve

    private func serveOnly(_ conversation: Conversation) throws {
        guard let server = conversation.server else { return }
        let started = try serve(
            server.program, server.entry, host: host, port: port, folder: conversation.folder,
            isWatched: stage.draws || options.mine)
        if conversation.removesFile { stage.atEnd { started.askToEnd() } }
        try serving(started, others: conversation.others(started.reachable)) {
            stage.heading(left: "", right: conversation.serverName)
        }
    }

    /// Says where, and stays until the server ends: Ctrl-C ends everything from another thread.
    ///
    /// - Parameter lines: what scripts may want to know besides.
    func serving(
        _ server: DemoServer, others: [String], lines: [String] = [], heading: () -> Void = {}
    ) throws {
        // Before the first call is drawn, and in these words in any language: scripts wait for this line.
        screen.print([StyledText("listening on \(server.address)")] + lines.map { StyledText($0) })
        if stage.draws {
            listClients(say("Try: ", "试试："), others)
            screen.print(say("Ctrl-C stops.", "按 Ctrl-C 停止。"), .quiet)
            screen.print([StyledText()])
            heading()
            stage.settle()
        }
        let ending = server.subject.waitForEnd()
        stage.settle(showsWaiting: false)
        try complainIfEnded(server)
        throw Complaint.ended(ending)
    }
}
