/// A demo: something that an instructor shows and a student tries. `lab run udp-echo`.
import Course
import Foundation

public struct Demo: Sendable {
    public enum Ability: Sendable {
        /// Its server can run alone.
        case serve
        /// Its client can run alone.
        case client
        /// A student's exercise can take the reference's place.
        case mine
        /// Something in it is drawn by lot.
        case seed
        /// It serves the files of a folder.
        case root
        /// It uses a port.
        case address
        /// It measures something.
        case json
        /// Its server is at a path.
        case path
        /// It speaks to a host that is named behind it.
        case target
    }

    /// `udp-echo`
    public let id: String
    /// The lesson that it belongs to, and whose exercise `--mine` puts into it: `03-udp`.
    public let lesson: String
    /// Where there is no lesson.json: `lab` is one file, and shows its demos wherever it is copied.
    let ownTitle: Text
    /// As in the textbooks; nil if it uses none.
    public let port: UInt16?
    public let abilities: Set<Ability>
    /// It shows something by itself, drawn in a pipe too; the others answer lines.
    let isShow: Bool
    let play: @Sendable (Play) throws -> Void

    init(
        _ id: String, _ lesson: String, _ english: String, _ chinese: String, port: UInt16?, _ abilities: Set<Ability>,
        isShow: Bool = false, play: @escaping @Sendable (Play) throws -> Void
    ) {
        self.id = id
        self.lesson = lesson
        self.ownTitle = Text(en: english, zh: chinese)
        self.port = port
        self.abilities = port == nil ? abilities : abilities.union([.address])
        self.isShow = isShow
        self.play = play
    }

    /// In the order of the lessons.
    public static let all: [Demo] = [
        .byteOrder, .addresses, .udpEcho, .udpClient, .udpBroadcast, .udpLossy, .tcpEcho, .tcpClient, .tcpThreads,
        .tcpFork, .handshake, .sticky, .framing, .fileTransfer, .selectEcho, .nonblockingConnect,
        .duplexChat, .epollEcho, .epollEdge, .epollIdle, .epollWhy,
        .httpServer, .httpClient, .httpSelect, .wsEcho, .wsClient, .wsChat, .chatRoom,
        .options, .nagle,
        .robustClient,
        .poolEcho, .asyncEcho, .fiveServers,
        .buffering, .connectionPool, .sendfile,
        .unixEcho, .ping, .traceroute,
        .behindNginx,
    ]

    /// - Throws: a usage error that suggests the nearest name.
    public static func find(_ name: String) throws(CommandError) -> Demo {
        if let demo = all.first(where: { $0.id == name }) { return demo }
        let hint: String
        if let near = nearest(to: name, among: all.map(\.id)) {
            hint = say(" Did you mean \(near)?", "是不是想用 \(near)？")
        } else {
            hint = say(" `lab demos` lists them.", "`lab demos` 列出所有演示。")
        }
        throw .usage(say("There is no demo \(name).", "没有 \(name) 这个演示。") + hint)
    }

    /// As its lesson has it.
    public func title(_ catalogue: Catalogue?) -> Text {
        catalogue?.lesson(lesson)?.demos.first { $0.id == id }?.title ?? ownTitle
    }

    /// Runs it to its end.
    ///
    /// - Parameter executable: this program, which hosts the references.
    /// - Parameter mine: the student's program, for `--mine`.
    /// - Returns: what `lab` should end with.
    public func run(
        _ options: DemoOptions, on screen: DemoScreen, executable: String, mine: String?, catalogue: Catalogue?
    ) throws -> ExitCode {
        let stage = try Stage(screen: screen, draws: Play.draws(self, options, screen))
        // Ctrl-C is how a demo is meant to end.
        let cleanup = Interrupts.add {
            stage.stop()
            screen.endLine()
            _exit(ExitCode.success.rawValue)
        }
        defer { Interrupts.remove(cleanup) }
        let play = Play(
            demo: self, options: options, screen: screen, stage: stage, executable: executable, mine: mine,
            title: title(catalogue).description)
        do {
            try self.play(play)
            stage.parkIfStopping()
            stage.stop()
            return .success
        } catch {
            Interrupts.parkIfEnding()
            stage.parkIfStopping()
            stage.stop()
            throw play.explained(error)
        }
    }
}
