/// The programs of a demo while it runs, and what is drawn of them. Whatever ends the demo, its programs end with it.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

final class Stage: @unchecked Sendable {
    let screen: DemoScreen
    /// Nothing is drawn otherwise, and nobody waits for what would be.
    let draws: Bool
    /// Where the programs run; removed afterwards.
    let folder: String

    private let changed = NSCondition()
    /// Held while rows are drawn, so that they come in order. Never under `changed`: a terminal that does not read must not
    /// keep the demo from being stopped.
    private let drawing = NSLock()
    /// Under `drawing`.
    private var text: LadderText
    // Under `changed`:
    private var ladder = Ladder()
    private var programs: [Subject] = []
    private var parties: [ObjectIdentifier: Int] = [:]
    private var endings: [() -> Void] = []
    private var isStopping = false
    private var isStopped = false

    init(screen: DemoScreen, draws: Bool) throws {
        self.screen = screen
        self.draws = draws
        text = LadderText(columns: screen.columns)
        folder = NSTemporaryDirectory() + "/lab-demo-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        if draws { Thread.detachNewThread { [self] in drawAsItHappens() } }
    }

    // MARK: Programs

    /// Starts a program; its calls are drawn on its side.
    ///
    /// - Parameter plan: what the tap makes of its calls.
    /// - Parameter folder: where it starts; the demo's own folder unless told otherwise.
    /// - Parameter isWatched: false: nobody wants to see its calls, so it serves as fast as it can.
    func start(
        _ program: Program, _ side: Side, tag: String = "", isDrawn: Bool = true, plan: FaultPlan = .none,
        folder: String? = nil, isWatched: Bool = true
    ) throws -> Subject {
        changed.lock()
        defer { changed.unlock() }
        waitIfStopping()
        let draws = draws && isDrawn
        let party = draws ? ladder.join(Party(side: side, tag: tag)) : 0
        let folder = folder ?? self.folder
        let subject: Subject
        if isWatched {
            subject = try Subject.live(program, in: folder, plan: plan) { [self] call in
                guard draws else { return }
                changed.lock()
                ladder.add(call, from: party, now: now())
                changed.broadcast()
                changed.unlock()
            }
        } else {
            subject = try Subject.unwatched(program, in: folder)
        }
        programs.append(subject)
        if draws { parties[ObjectIdentifier(subject)] = party }
        return subject
    }

    /// Starts a server that nobody watches, so that it can be measured.
    func startUnwatched(_ program: Program, descriptorLimit: Int) throws -> Subject {
        changed.lock()
        defer { changed.unlock() }
        waitIfStopping()
        let subject = try Subject.unwatched(program, in: folder, descriptorLimit: descriptorLimit)
        programs.append(subject)
        return subject
    }

    /// A program is about to be given a connection: it will be its descriptor 3.
    func adopt(_ subject: Subject, local: SocketAddress, remote: SocketAddress, isClient: Bool) {
        changed.lock()
        if let party = parties[ObjectIdentifier(subject)] {
            ladder.adopt(3, party, local: local, remote: remote, isClient: isClient)
        }
        changed.unlock()
    }

    /// Ends one program before the demo ends.
    func end(_ subject: Subject) {
        subject.stop()
        changed.lock()
        programs.removeAll { $0 === subject }
        changed.unlock()
    }

    /// Something else that has to be ended with the programs.
    func atEnd(_ body: @escaping () -> Void) {
        changed.lock()
        endings.append(body)
        changed.unlock()
    }

    /// Ends all that was started; back when it is gone, whoever has asked first.
    func stop() {
        changed.lock()
        let isFirst = !isStopping
        isStopping = true
        let (programs, endings) = (programs, endings)
        changed.broadcast()
        while !isFirst && !isStopped { changed.wait() }
        changed.unlock()
        guard isFirst else { return }
        for ending in endings { ending() }
        for program in programs { program.stop() }
        do { try FileManager.default.removeItem(atPath: folder) } catch {
            screen.complain(say("cannot remove \(folder): \(error)", "删除不了 \(folder)：\(error)"))
        }
        changed.lock()
        isStopped = true
        changed.broadcast()
        changed.unlock()
    }

    /// Stays until one of the programs ends: Ctrl-C ends the demo from another thread.
    func waitForEnd() throws {
        changed.lock()
        let subjects = programs
        changed.unlock()
        guard let first = subjects.first else { return }
        let ending = first.waitForEnd()
        parkIfStopping()
        throw Complaint.ended(ending)
    }

    /// What fails because the demo is being stopped is no failure: the thread that stops it ends the process.
    func parkIfStopping() {
        changed.lock()
        waitIfStopping()
        changed.unlock()
    }

    private func waitIfStopping() { while isStopping { changed.wait() } }

    // MARK: Drawing

    /// Names the columns.
    func heading(left: String, right: String) {
        guard draws else { return }
        drawing.withLock { screen.print(text.heading(left: left, right: right)) }
    }

    /// A line of a demo's own, in the same columns.
    func row(left: StyledText, right: StyledText) {
        guard draws else { return }
        drawing.withLock { screen.print(text.row(left: left, right: right)) }
    }

    /// What stands on the arrows of these bytes instead of the bytes as text; nil for bytes that it does not know.
    func label(_ label: @escaping @Sendable ([UInt8]) -> String?) { drawing.withLock { text.label = label } }

    /// Draws the segments of an opening and a closing one by one.
    func showSegments() { drawing.withLock { text.showsSegments = true } }

    /// The sockets are of the Unix domain: nothing is called by TCP's names.
    func showNoSegments() { drawing.withLock { text.isUnix = true } }

    /// Datagrams of both sides go through a network.
    func putNetworkBetween() {
        changed.lock()
        defer { changed.unlock() }
        ladder.putNetworkBetween()
    }

    func note(_ fate: DatagramMatcher.Fate, for bytes: [UInt8], to side: Side) {
        changed.lock()
        ladder.note(fate, for: bytes, to: side)
        changed.broadcast()
        changed.unlock()
    }

    /// Draws everything that has happened so far, and the calls that the servers wait in now.
    ///
    /// What a program does after it has answered (closing, waiting again) belongs to it: a moment is given to that.
    func settle(showsWaiting: Bool = true) {
        guard draws else { return }
        changed.lock()
        let subjects = programs
        changed.unlock()
        for subject in subjects { subject.waitForTap() }
        let patience = Date(timeIntervalSinceNow: 0.3)
        changed.lock()
        while !ladder.isQuiet(.right), !isStopping, changed.wait(until: patience) {}
        changed.unlock()
        draw {
            let rows = $0.take(now: now(), all: true)
            return showsWaiting ? rows + $0.takeWaiting(.right, now: now()) : rows
        }
    }

    private func draw(_ take: (inout Ladder) -> [LadderRow]) {
        drawing.lock()
        defer { drawing.unlock() }
        changed.lock()
        let rows = take(&ladder)
        changed.unlock()
        for row in rows { screen.print(text.lines(row)) }
    }

    /// What happens without our asking: other clients, repeated attempts.
    private func drawAsItHappens() {
        while true {
            changed.lock()
            while ladder.isEmpty && !isStopping { changed.wait() }
            _ = changed.wait(until: Date(timeIntervalSinceNow: 0.02))
            let isOver = isStopping
            changed.unlock()
            if isOver { return }
            draw { $0.take(now: now(), all: false) }
        }
    }
}
